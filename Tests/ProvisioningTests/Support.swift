internal import Crypto
internal import JSON
internal import Provisioning
internal import TestSupport
internal import Testing

/// Devices in memory, with a clock of its own.
final class Devices: DeviceDirectory {
    var all: [Device] = []
    /// Seconds by the monotonic clock.
    var clock: UInt64 = 1000
    /// When devices were provisioned; those that are not in it were so too long ago.
    var provisionedAt: [Text: UInt64] = [:]
    /// How often a device was looked up.
    var lookups = 0
    private var random = SeededNumbers(state: 42)

    func device(named name: Text) -> Device? {
        lookups += 1
        return all.first { $0.name == name }
    }

    func device(holding credentialsId: Text) -> Device? {
        lookups += 1
        return all.first { $0.credentials.id == credentialsId }
    }

    func deviceCount(of profile: DeviceProfile) -> UInt32 { UInt32(all.count { $0.profile == profile.id }) }

    func secondsSinceProvisioning(_ device: Device) -> UInt64? { provisionedAt[device.id].map { clock - $0 } }

    /// Decides a request and takes in what it changes.
    func provision(_ request: ProvisionRequest, _ profile: DeviceProfile?, via: Text = "http") -> Decision {
        let decision = request.decide(profile: profile, directory: self, via: via, now: 1234, random: &random)
        if let device = decision.change {
            all.removeAll { $0.id == device.id }
            all.append(device)
            provisionedAt[device.id] = clock
        }
        return decision
    }

    /// Decides a request given by its optional members.
    func provision(
        _ name: String?, _ members: String, _ profile: DeviceProfile?, key: String = "key", secret: String = "secret"
    ) throws -> Decision {
        provision(try request(name, members, key: key, secret: secret), profile)
    }

    /// Decides a request that has a name at most.
    func provision(
        _ name: String?, _ profile: DeviceProfile?, key: String = "key", secret: String = "secret"
    ) throws -> Decision {
        try provision(name, "", profile, key: key, secret: secret)
    }

    /// Registers a device as an operator does.
    @discardableResult
    func register(
        _ name: Text, token: Text = "registered", profile: Text = "profile-id", state: JSONValue? = nil
    ) -> Device {
        var device = Device(
            id: Text("id of \(name)"), name: name, profile: profile, createdTime: 1,
            credentials: Credentials(type: .accessToken, id: token))
        device.attributes[Device.provisionState] = state
        all.append(device)
        return device
    }
}

/// A request with the usual key and secret; `members` are further members with a comma in front.
func request(
    _ name: String?, _ members: String = "", key: String = "key", secret: String = "secret"
) throws -> ProvisionRequest {
    let deviceName = name.map { #","deviceName":"\#($0)""# } ?? ""
    return try ProvisionRequest(
        Array(#"{"provisionDeviceKey":"\#(key)","provisionDeviceSecret":"\#(secret)"\#(deviceName)\#(members)}"#.utf8))
}

/// A profile with the usual key and secret.
func profile(
    _ strategy: ProvisionStrategy = .allowCreateNewDevices, secret: String? = "secret",
    _ set: (inout ProfileSettings) -> Void = { _ in }
) -> DeviceProfile {
    var settings = ProfileSettings()
    set(&settings)
    return DeviceProfile(
        id: "profile-id", name: "P", createdTime: 1, strategy: strategy, provisionKey: "key",
        provisionSecret: secret.map { Secret(Array($0.utf8)) }, settings: settings)
}

extension Decision {
    /// The outcome in a word: `SUCCESS`, `NOT_FOUND`, or the reason of the refusal.
    var word: String {
        switch outcome {
        case .success: "SUCCESS"
        case .notFound: "NOT_FOUND"
        case .failure(let reason): reason.rawValue
        }
    }

    /// The device of a success.
    var device: Device? {
        if case .success(let device, _) = outcome { device } else { nil }
    }

    /// Whether the hub made the name up.
    var madeUpName: Bool {
        if case .success(_, let madeUpName) = outcome { madeUpName } else { false }
    }

    /// The answer's JSON.
    func answer(legacyFields: Bool = true) -> String {
        String(decoding: ProvisionAnswer(outcome, legacyFields: legacyFields).bytes(), as: UTF8.self)
    }
}

extension String {
    /// The text as a JSON string.
    var quoted: String {
        var json = JSONWriter()
        json.text(Text(self))
        return String(decoding: json.bytes, as: UTF8.self)
    }
}

extension Decision {
    /// The new state of the device, if it changes.
    var change: Device? {
        if isChange, case .success(let device, _) = outcome { device } else { nil }
    }
}
