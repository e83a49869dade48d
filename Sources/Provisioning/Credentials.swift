public import JSON

/// The kinds of credentials (ThingsBoard's `DeviceCredentialsType`).
public enum CredentialsType: String, Sendable, CaseIterable {
    case accessToken = "ACCESS_TOKEN"
    case x509Certificate = "X509_CERTIFICATE"
    case mqttBasic = "MQTT_BASIC"
    /// Only passed through: registered by an operator, never made from a request.
    case lwm2m = "LWM2M_CREDENTIALS"
}

/// What a device proves its identity with, as ThingsBoard stores it.
public struct Credentials: Hashable, Sendable {
    /// Who chose them.
    public enum Source: String, Sendable {
        /// The hub made them up.
        case hub
        /// The device brought them in its request.
        case device
        /// An administrator entered them.
        case `operator`
    }

    /// The kind.
    public let type: CredentialsType
    /// What they are found by, unique over all kinds: the access token, the user name, or a SHA3-256 in hexadecimal.
    public let id: Text
    /// What goes with the id.
    ///
    /// MQTT_BASIC: JSON text with clientId, userName, password. X509_CERTIFICATE: the base64 body. LWM2M_CREDENTIALS: as
    /// entered. ACCESS_TOKEN: nil.
    public let value: Text?

    /// Credentials of the given parts.
    public init(type: CredentialsType, id: Text, value: Text? = nil) {
        self.type = type
        self.id = id
        self.value = value
    }
}

extension Credentials {
    /// Writes the object of the member `credentials` of a line.
    public func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("type", word: type)
        json.member("id", id)
        if let value {
            json.member("value", value)
        }
        json.endObject()
    }

    /// Reads such an object.
    public init(_ json: JSONValue?) throws(InvalidRecord) {
        guard let type = json?["type"]?.text.flatMap({ CredentialsType(rawValue: $0.description) }),
            let id = json?["id"]?.text
        else { throw InvalidRecord("device without credentials of a known type") }
        self.init(type: type, id: id, value: try json?["value"].optionalText("credentials.value"))
    }
}
