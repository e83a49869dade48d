internal import JSON

/// The JSON that a device reads (protocol.md 6 with D3 and D6); one shape for every face.
public struct ProvisionAnswer: Sendable {
    /// The word that devices look at first.
    public enum Status: String, Sendable {
        case success = "SUCCESS"
        case notFound = "NOT_FOUND"
        case failure = "FAILURE"
    }

    /// The status in it.
    public let status: Status
    /// What every release of ThingsBoard sends; always there.
    private let modern: [UInt8]
    /// What follows as far as there is room: members of the old documents, and Nearhub's own.
    private let further: [[UInt8]]
    /// How many members `modern` has, nested ones counted.
    private let modernMembers: Int

    /// The answer of a decision.
    ///
    /// - Parameter legacyFields: whether anything may follow ThingsBoard's own members.
    public init(_ outcome: Decision.Outcome, legacyFields: Bool) {
        switch outcome {
        case .success(let device, let madeUpName): self.init(device, madeUpName: madeUpName, legacyFields)
        case .notFound: self.init(.notFound, "Provision data was not found!", legacyFields, [])
        case .failure(let reason):
            self.init(.failure, failed, legacyFields, [("reason", Text(reason.rawValue))])
        }
    }

    /// The answer to a request that could not be read, where the face has no error answer of its own.
    public init(_ malformed: MalformedRequest, legacyFields: Bool) {
        let further: [(StaticString, Text)] = [
            ("reason", Text(Reason.malformed.rawValue)), ("detail", Text(malformed.detail)),
        ]
        self.init(.failure, failed, legacyFields, further)
    }

    /// The JSON, compact.
    ///
    /// - Parameters:
    ///   - maximumBytes: where to stop adding members that not every release has; nil for no bound.
    ///   - maximumMembers: the same, in members, nested ones counted.
    public func json(maximumBytes: Int? = nil, maximumMembers: Int? = nil) -> [UInt8] {
        var bytes = modern
        var members = modernMembers
        for member in further {
            guard bytes.count + member.count + 2 <= maximumBytes ?? .max, members < maximumMembers ?? .max else {
                break
            }
            bytes.append(UInt8(ascii: ","))
            bytes.append(contentsOf: member)
            members += 1
        }
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    private init(_ status: Status, _ message: Text, _ legacyFields: Bool, _ more: [(StaticString, Text)]) {
        var json = JSONWriter()
        json.beginObject()
        json.member("errorMsg", message)
        json.member("status", Text(status.rawValue))
        self.status = status
        modern = json.bytes
        modernMembers = 2
        let legacy: [(StaticString, Text)] = [("provisionDeviceStatus", Text(status.rawValue))]
        further = legacyFields ? (legacy + more).map { member($0, $1) } : []
    }

    private init(_ device: Device, madeUpName: Bool, _ legacyFields: Bool) {
        let credentials = device.credentials
        var json = JSONWriter()
        json.beginObject()
        var members = 2
        switch credentials.type {
        case .accessToken:
            json.member("credentialsValue", credentials.id)
            members += 1
        case .x509Certificate:
            json.member("credentialsValue", credentials.value)
            members += 1
        case .mqttBasic:
            json.name("credentialsValue")
            json.verbatim(credentials.value?.utf8 ?? Array("null".utf8))
            members += 4
        case .lwm2m: break
        }
        json.member("credentialsType", Text(credentials.type.rawValue))
        json.member("status", Text(Status.success.rawValue))
        status = .success
        modern = json.bytes
        modernMembers = members
        let name: (StaticString, Text) = ("deviceName", device.name)
        let legacy: [(StaticString, Text)] = [
            ("provisionDeviceStatus", Text(Status.success.rawValue)), ("credentialsId", credentials.id),
            ("deviceId", device.id),
        ]
        further = legacyFields ? (madeUpName ? [name] + legacy : legacy + [name]).map { member($0, $1) } : []
    }
}

private let failed: Text = "Failed to provision device!"

private func member(_ name: StaticString, _ value: Text) -> [UInt8] {
    var json = JSONWriter()
    json.member(name, value)
    return json.bytes
}
