public import Crypto
public import JSON

/// A provision request that could not be read: answered, never hidden (protocol.md D2).
public struct MalformedRequest: Error, Hashable {
    /// Names the member and the rule, never the input: `provisionDeviceSecret is missing`.
    public let detail: String

    /// A refusal with the given detail.
    public init(_ detail: String) {
        self.detail = detail
    }
}

/// What a device asks (protocol.md 1); the same on every face.
///
/// A class, since it has many parts, is never changed and is handed on often.
public final class ProvisionRequest: Sendable {
    /// The name it wants, as sent; empty when it leaves that to the hub.
    public let deviceName: Text
    /// Names the profile.
    public let provisionKey: Text
    /// Proves that the device belongs to the profile, or is the named one.
    public let provisionSecret: Secret
    /// The kind of credentials it wants.
    public let credentialsType: CredentialsType
    /// ACCESS_TOKEN: the token; empty when absent, as all of the following.
    public let token: Text
    /// X509_CERTIFICATE: the certificate itself, in PEM or its base64 body.
    public let hash: Text
    /// MQTT_BASIC: the client id.
    public let clientId: Text
    /// MQTT_BASIC: the user name.
    public let username: Text
    /// MQTT_BASIC: the password.
    public let password: Text
    /// Whether it calls itself a gateway.
    public let isGateway: Bool

    /// Reads the JSON of a request.
    ///
    /// Text may also come as an integer or a truth value, and null stands for an absent optional member, because
    /// devices in the field send both. Unknown members are ignored.
    ///
    /// - Parameter bytes: the body; the face bounds its length.
    public init(_ bytes: [UInt8]) throws(MalformedRequest) {
        let json: JSONValue
        do { json = try JSONValue.parse(bytes) } catch { throw MalformedRequest(error.description) }
        guard let object = json.object else { throw MalformedRequest("not a JSON object") }
        provisionKey = try object.required(Member.provisionDeviceKey)
        provisionSecret = Secret(try object.required(Member.provisionDeviceSecret).utf8)
        deviceName = try object.text(Member.deviceName)
        token = try object.text(Member.token)
        hash = try object.text(Member.hash)
        clientId = try object.text(Member.clientId)
        username = try object.text(Member.username)
        password = try object.text(Member.password)
        isGateway = try object.flag(Member.gateway)
        guard let type = object[Member.credentialsType], type != .null else {
            credentialsType = .accessToken
            return
        }
        guard let text = type.text, let known = CredentialsType(rawValue: text.description) else {
            let names = CredentialsType.allCases.map(\.rawValue).joined(separator: ", ")
            throw MalformedRequest("credentialsType is not one of \(names)")
        }
        credentialsType = known
    }
}

/// The names of the members, made once.
private enum Member {
    static let provisionDeviceKey: Text = "provisionDeviceKey"
    static let provisionDeviceSecret: Text = "provisionDeviceSecret"
    static let deviceName: Text = "deviceName"
    static let token: Text = "token"
    static let hash: Text = "hash"
    static let clientId: Text = "clientId"
    static let username: Text = "username"
    static let password: Text = "password"
    static let gateway: Text = "gateway"
    static let credentialsType: Text = "credentialsType"
}

extension JSONObject {
    fileprivate func required(_ name: Text) throws(MalformedRequest) -> Text {
        guard let value = self[name] else { throw MalformedRequest("\(name) is missing") }
        guard value != .null else { throw MalformedRequest("\(name) is null") }
        return try text(name)
    }

    fileprivate func text(_ name: Text) throws(MalformedRequest) -> Text {
        switch self[name] {
        case nil, .null: return ""
        case .text(let text): return text
        case .integer(let integer): return Text(String(integer))
        case .bool(let bool): return bool ? "true" : "false"
        case .real: throw MalformedRequest("\(name) is a number that is no integer of 64 bits")
        case .array, .object: throw MalformedRequest("\(name) is not text")
        }
    }

    fileprivate func flag(_ name: Text) throws(MalformedRequest) -> Bool {
        switch self[name] {
        case .bool(let bool): return bool
        case .text(let text): return text.description.lowercased() == "true"
        case .array, .object: throw MalformedRequest("\(name) is neither true nor false")
        default: return false
        }
    }
}
