public import JSON

/// A device as the hub tells it (protocol.md 10.5).
public struct HubDevice: Sendable, Equatable {
    /// All members, in the hub's order.
    public let json: JSONObject
    /// The id, a UUID.
    public let id: Text
    /// The name.
    public let name: Text

    init?(_ value: JSONValue?) {
        guard let object = value?.object, let id = object["id"]?["id"]?.text, let name = object["name"]?.text else {
            return nil
        }
        json = object
        self.id = id
        self.name = name
    }

    /// The name of its profile.
    public var profile: Text? { json["type"]?.text }
    /// What the operator calls it besides.
    public var label: Text? { json["label"]?.text }
    /// When it was made, in milliseconds since 1970.
    public var createdTime: Int64? { json["createdTime"]?.integer }
    /// Whether it is a gateway in ThingsBoard's sense.
    public var isGateway: Bool { json["additionalInfo"]?["gateway"]?.bool == true }
}

/// A device's credentials as the hub tells them (protocol.md 10.7).
public struct HubCredentials: Sendable, Equatable {
    /// All members, in the hub's order.
    public private(set) var json: JSONObject

    /// ThingsBoard's name of the type, such as `ACCESS_TOKEN`.
    public var type: Text? { json["credentialsType"]?.text }
    /// The access token, or what names the other types.
    public var id: Text? { json["credentialsId"]?.text }
    /// The text behind the id: the JSON of MQTT_BASIC, the body of a certificate; nil for an access token.
    public var value: Text? { json["credentialsValue"]?.text }

    init(_ json: JSONObject) {
        self.json = json
    }

    /// The same credentials with `***` for the value, and for the id where the id is the secret.
    public var withoutSecrets: HubCredentials {
        var copy = self
        copy.json.hide("credentialsValue")
        if type == "ACCESS_TOKEN" { copy.json.hide("credentialsId") }
        return copy
    }
}

/// One line of the list of devices.
public struct HubDeviceSummary: Sendable, Equatable {
    /// All members, in the hub's order: `id`, `name`, `profile`, `credentialsType`, `provisioned`, `createdTime`.
    public let json: JSONObject

    /// The name.
    public var name: Text? { json["name"]?.text }
    /// The name of its profile.
    public var profile: Text? { json["profile"]?.text }
    /// ThingsBoard's name of the type of its credentials.
    public var credentialsType: Text? { json["credentialsType"]?.text }
    /// Whether it asked for its credentials already.
    public var isProvisioned: Bool { json["provisioned"]?.bool == true }
    /// When it was made, in milliseconds since 1970.
    public var createdTime: Int64? { json["createdTime"]?.integer }
    /// The id, a UUID.
    public var id: Text? { json["id"]?.text ?? json["id"]?["id"]?.text }
}
