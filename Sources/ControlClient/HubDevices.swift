public import JSON

/// What a new device shall be; members that are nil are left to the hub.
public struct NewDevice: Sendable {
    /// The name, not in use yet.
    public var name: Text
    /// The profile it belongs to.
    public var profile: HubProfile
    /// What the operator calls it besides.
    public var label: Text?
    /// Whether it is a gateway in ThingsBoard's sense.
    public var isGateway = false
    /// `credentialsType` with `credentialsId` or `credentialsValue` (protocol.md 10.6); nil lets the hub make a token.
    public var credentials: JSONObject?

    /// A device of the given name and profile.
    public init(name: Text, profile: HubProfile) {
        self.name = name
        self.profile = profile
    }

    var json: JSONValue {
        var device = JSONObject([
            .init(name: "name", value: .text(name)), .init(name: "type", value: .text(profile.name)),
            .init(
                name: "deviceProfileId",
                value: .object(
                    JSONObject([
                        .init(name: "entityType", value: .text("DEVICE_PROFILE")),
                        .init(name: "id", value: .text(profile.id)),
                    ]))),
        ])
        device["label"] = label.map(JSONValue.text)
        if isGateway {
            device["additionalInfo"] = .object(JSONObject([.init(name: "gateway", value: .bool(true))]))
        }
        return .object(device)
    }
}

extension Hub {
    /// Makes a device: `POST /api/device`, or `/api/device-with-credentials` when it brings some.
    public func add(_ device: NewDevice) throws(ControlError) -> HubDevice {
        let subject = "device '\(printable(device.name.description))'"
        var body = device.json
        if let credentials = device.credentials {
            body = .object(
                JSONObject([
                    .init(name: "device", value: device.json), .init(name: "credentials", value: .object(credentials)),
                ]))
        }
        let target = device.credentials == nil ? "/api/device" : "/api/device-with-credentials"
        guard let made = HubDevice(try ask("POST", target, body, about: subject)) else {
            throw Self.unexpected(subject)
        }
        return made
    }

    /// The device of exactly this name: `GET /api/tenant/devices?deviceName=`.
    ///
    /// - Throws: `notFound` when there is none.
    public func device(named name: Text) throws(ControlError) -> HubDevice {
        let subject = "device '\(printable(name.description))'"
        let target = "/api/tenant/devices?deviceName=\(percentEncoded(name.description))"
        let answer: JSONValue?
        do { answer = try ask("GET", target, about: subject) } catch  where error.kind == .notFound {
            throw ControlError(
                .notFound, subject, "there is no such device", advice: "\"nearhub device list\" shows all")
        }
        guard let device = HubDevice(answer) else { throw Self.unexpected(subject) }
        return device
    }

    /// The credentials of a device: `GET /api/device/{id}/credentials`.
    public func credentials(of device: HubDevice) throws(ControlError) -> HubCredentials {
        let subject = "credentials of '\(printable(device.name.description))'"
        let target = "/api/device/\(percentEncoded(device.id.description))/credentials"
        return HubCredentials(try object(try ask("GET", target, about: subject), about: subject))
    }

    /// The attributes of a device in server scope, `provisionState` among them (protocol.md 10.8).
    ///
    /// - Returns: objects of `lastUpdateTs`, `key` and `value`.
    public func attributes(of device: HubDevice) throws(ControlError) -> [JSONObject] {
        let subject = "attributes of '\(printable(device.name.description))'"
        let id = percentEncoded(device.id.description)
        let target = "/api/plugins/telemetry/DEVICE/\(id)/values/attributes/SERVER_SCOPE"
        guard let attributes = try ask("GET", target, about: subject)?.array else { throw Self.unexpected(subject) }
        return attributes.compactMap(\.object)
    }

    /// Visits all devices in the order of the log: `GET /api/nearhub/devices`, piece by piece.
    ///
    /// Nothing is kept, so that a list of any length needs the memory of one piece.
    public func eachDevice(_ visit: (HubDeviceSummary) -> Void) throws(ControlError) {
        var after: UInt64 = 0
        while true {
            let target = "/api/nearhub/devices?after=\(after)&limit=500"
            let answer = try object(try ask("GET", target, about: "devices"), about: "devices")
            guard let rows = answer["devices"]?.array else { throw Self.unexpected("devices") }
            for row in rows.compactMap(\.object) { visit(HubDeviceSummary(json: row)) }
            guard let next = answer["next"]?.unsigned else { return }
            guard next > after else { throw Self.unexpected("devices") }
            after = next
        }
    }
}
