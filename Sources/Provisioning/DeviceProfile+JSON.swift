internal import Crypto
public import JSON

/// Why a record or a body could not be read as what it should be; names the member and the rule, never the value.
public struct InvalidRecord: Error, Hashable, CustomStringConvertible {
    /// One sentence.
    public let description: String

    /// An error of the given text.
    public init(_ description: String) {
        self.description = description
    }
}

extension DeviceProfile {
    /// Writes the profile, secrets and all, in the JSON of ThingsBoard's REST API (protocol.md 10.3) with the member `nearhub`.
    ///
    /// - Parameters:
    ///   - json: takes the object.
    ///   - isComplete: whether members without a use here are written too, as ThingsBoard's clients want them.
    public func write(to json: inout JSONWriter, isComplete: Bool = false) {
        json.beginObject()
        json.name("id")
        json.entity("DEVICE_PROFILE", id)
        json.member("createdTime", createdTime)
        json.member("name", name)
        json.member("description", description)
        json.member("type", "DEFAULT")
        json.member("transportType", "DEFAULT")
        json.member("provisionType", word: strategy)
        json.member("provisionDeviceKey", provisionKey)
        json.name("profileData")
        json.beginObject()
        for part: StaticString in ["configuration", "transportConfiguration"] {
            json.name(part)
            json.beginObject()
            json.member("type", "DEFAULT")
            json.endObject()
        }
        json.name("provisionConfiguration")
        json.beginObject()
        json.member("type", word: strategy)
        json.member("provisionDeviceSecret", provisionSecret.map { Text(utf8: $0.exposed) })
        json.endObject()
        json.endObject()
        if isComplete {
            json.tenant()
            json.nulls([
                "image", "defaultRuleChainId", "defaultDashboardId", "defaultQueueName", "firmwareId", "softwareId",
            ])
            json.nulls(["defaultEdgeRuleChainId", "externalId"])
            json.member("default", false)
            json.member("version", 1)
        }
        json.name("nearhub")
        settings.write(to: &json)
        json.endObject()
    }

    /// Reads what `write` wrote.
    public convenience init(_ json: JSONValue) throws(InvalidRecord) {
        guard let id = json["id"]?["id"]?.text else { throw InvalidRecord("profile without id") }
        try self.init(json, id: id, createdTime: json["createdTime"]?.integer ?? 0)
    }

    /// Reads a profile as administrators send it; absent key and secret stay absent.
    ///
    /// - Parameters:
    ///   - json: the body, as protocol.md 10.3.
    ///   - id: the profile's id, new or known.
    ///   - createdTime: milliseconds since 1970.
    public convenience init(_ json: JSONValue, id: Text, createdTime: Int64) throws(InvalidRecord) {
        guard let name = json["name"]?.text, !name.isEmpty else {
            throw InvalidRecord("Device profile name should be specified!")
        }
        let configuration = json["profileData"]?["provisionConfiguration"]
        let strategy = try ProvisionStrategy(member: json["provisionType"], "provisionType") ?? .disabled
        if let other = try ProvisionStrategy(member: configuration?["type"], "provisionConfiguration.type"),
            other != strategy
        {
            throw InvalidRecord("provisionType and provisionConfiguration.type differ")
        }
        self.init(
            id: id, name: name, createdTime: createdTime,
            description: try json["description"].optionalText("description"), strategy: strategy,
            provisionKey: try json["provisionDeviceKey"].optionalText("provisionDeviceKey"),
            provisionSecret: try configuration?["provisionDeviceSecret"].optionalText("provisionDeviceSecret")
                .map { Secret($0.utf8) },
            settings: try ProfileSettings(json["nearhub"]))
    }
}

extension ProvisionStrategy {
    fileprivate init?(member: JSONValue?, _ name: String) throws(InvalidRecord) {
        guard let text = try member.optionalText(name) else { return nil }
        guard let strategy = ProvisionStrategy(rawValue: text.description) else {
            throw InvalidRecord("\(name) must be one of \(Self.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        self = strategy
    }
}

extension JSONValue? {
    /// The text of a member that may be absent or null.
    func optionalText(_ name: String) throws(InvalidRecord) -> Text? {
        switch self {
        case nil, .null: return nil
        case .text(let text): return text
        default: throw InvalidRecord("\(name) must be text")
        }
    }
}

extension JSONWriter {
    /// Writes the member `tenantId`: there is one tenant, and it has the null id of ThingsBoard.
    public mutating func tenant() {
        name("tenantId")
        entity("TENANT", "13814000-1dd2-11b2-8080-808080808080")
    }

    /// Writes members that are null here.
    public mutating func nulls(_ names: [StaticString]) {
        for name in names { member(name, nil) }
    }

    /// Writes an id as ThingsBoard does: `{"entityType":…,"id":…}`.
    public mutating func entity(_ type: Text, _ id: Text) {
        beginObject()
        member("entityType", type)
        member("id", id)
        endObject()
    }
}
