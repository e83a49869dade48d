internal import Crypto
internal import JSON
internal import Provisioning

/// A device as a provision request (protocol.md 11.2).
enum ThingsBoardRequest {
    /// The longest payload that ThingsBoard's MQTT transport takes by default, in bytes.
    static let maximumPayload = 65_536

    /// The request's JSON: the name always, the credentials that the hub issued, and absent what is empty.
    ///
    /// - Returns: nil when upstream would not take it: another kind of credentials, or too long.
    static func payload(_ device: Device, name: Text, key: Text, secret: Secret) -> [UInt8]? {
        var json = JSONWriter()
        json.beginObject()
        json.member("deviceName", name)
        json.member("provisionDeviceKey", key)
        json.member("provisionDeviceSecret", Text(utf8: secret.exposed))
        json.member("credentialsType", word: device.credentials.type)
        switch device.credentials.type {
        case .accessToken: json.member("token", device.credentials.id)
        case .x509Certificate: json.member("hash", device.credentials.value)
        case .mqttBasic:
            let parts = MQTTBasicParts(device.credentials)
            if !parts.userName.isEmpty { json.member("username", parts.userName) }
            if !parts.password.isEmpty { json.member("password", parts.password) }
            if !parts.clientId.isEmpty { json.member("clientId", parts.clientId) }
        case .lwm2m: return nil
        }
        if device.isGateway { json.member("gateway", true) }
        json.endObject()
        return json.bytes.count <= maximumPayload ? json.bytes : nil
    }
}

/// What an answer says (protocol.md 6).
enum ThingsBoardAnswer: Equatable {
    /// The device has these credentials upstream.
    case success(Credentials)
    /// Unknown key, wrong secret, or a profile that is disabled.
    case notFound
    /// Refused, for whatever reason.
    case failure
    /// Nothing that ThingsBoard would say.
    case unreadable

    /// Reads an answer.
    init(_ payload: [UInt8]) {
        guard let json = try? JSONValue.parse(payload) else {
            self = .unreadable
            return
        }
        self =
            switch json["status"]?.text {
            case "SUCCESS": Self.credentials(json).map(Self.success) ?? .unreadable
            case "NOT_FOUND": .notFound
            case "FAILURE": .failure
            default: .unreadable
            }
    }

    private static func credentials(_ json: JSONValue) -> Credentials? {
        let value = json["credentialsValue"]
        switch json["credentialsType"]?.text {
        case "ACCESS_TOKEN": return value?.text.flatMap(Credentials.accessToken)
        case "X509_CERTIFICATE": return value?.text.flatMap(Credentials.x509Certificate)
        case "MQTT_BASIC": return value.flatMap { MQTTBasicParts($0).credentials }
        default: return nil
        }
    }
}

/// User name, client id and password; empty for those that are not there.
struct MQTTBasicParts: Equatable {
    let clientId: Text
    let userName: Text
    let password: Text

    /// The parts of a JSON object; an operator may have left some out, or null.
    init(_ json: JSONValue) {
        let part = { (name: Text) in json[name]?.text ?? "" }
        (clientId, userName, password) = (part("clientId"), part("userName"), part("password"))
    }

    /// The parts of credentials of that kind.
    init(_ credentials: Credentials) {
        self.init((try? JSONValue.parse(credentials.value?.utf8 ?? [])) ?? .null)
    }

    var credentials: Credentials? { .mqttBasic(clientId: clientId, userName: userName, password: password) }
}

extension Credentials {
    /// Whether both let the same device in, however they are written down.
    func isSame(as other: Credentials) -> Bool {
        guard type == other.type else { return false }
        return switch type {
        case .accessToken: Secret(id.utf8).matches(other.id.utf8)
        case .mqttBasic: MQTTBasicParts(self) == MQTTBasicParts(other)
        case .x509Certificate, .lwm2m: value == other.value
        }
    }
}
