internal import Crypto
public import JSON

/// The credentials that a request brings.
enum RequestedCredentials {
    /// It brings none: the hub makes an access token, whatever type was asked for, as ThingsBoard does.
    case none
    case some(Credentials)
    /// It brings some that cannot be used.
    case invalid

    /// Forms credentials as ThingsBoard does (protocol.md 4.4 to 4.7): only the fields of the requested type are read.
    init(_ request: ProvisionRequest) {
        if request.token.isEmpty && request.hash.isEmpty && request.username.isEmpty && request.password.isEmpty
            && request.clientId.isEmpty
        {
            self = .none
            return
        }
        let credentials: Credentials? =
            switch request.credentialsType {
            case .accessToken: .accessToken(request.token)
            case .mqttBasic:
                .mqttBasic(clientId: request.clientId, userName: request.username, password: request.password)
            case .x509Certificate: .x509Certificate(request.hash)
            case .lwm2m: nil
            }
        self = credentials.map(Self.some) ?? .invalid
    }
}

extension Credentials {
    /// An access token; nil when it is empty or has control characters.
    public static func accessToken(_ token: Text) -> Credentials? {
        guard !token.isEmpty, !token.hasControlCharacters else { return nil }
        return Credentials(type: .accessToken, id: token)
    }

    /// Client id, user name and password (protocol.md 4.5).
    ///
    /// Nil when client id and user name are both empty, when there is a password but no user name, or when one of them
    /// has control characters.
    public static func mqttBasic(clientId: Text, userName: Text, password: Text) -> Credentials? {
        guard let id = mqttBasicId(clientId: clientId, userName: userName, password: password) else { return nil }
        var value = JSONWriter()
        value.beginObject()
        value.member("clientId", clientId)
        value.member("userName", userName)
        value.member("password", password)
        value.endObject()
        return Credentials(type: .mqttBasic, id: id, value: Text(utf8: value.bytes))
    }

    /// The same credentials as a request would form them; an operator may have left parts out, or null.
    var canonical: Credentials {
        guard type == .mqttBasic, let value, let json = try? JSONValue.parse(value.utf8) else { return self }
        let part = { (name: Text) in json[name]?.text ?? "" }
        return .mqttBasic(clientId: part("clientId"), userName: part("userName"), password: part("password")) ?? self
    }

    /// What MQTT_BASIC credentials are found by: the user name, or a hash with the client id in it.
    public static func mqttBasicId(clientId: Text, userName: Text, password: Text) -> Text? {
        guard !clientId.isEmpty || !userName.isEmpty, password.isEmpty || !userName.isEmpty else { return nil }
        guard ![clientId, userName, password].contains(where: \.hasControlCharacters) else { return nil }
        if clientId.isEmpty { return userName }
        let identity = userName.isEmpty ? clientId : Text(utf8: clientId.utf8 + [UInt8(ascii: "|")] + userName.utf8)
        return Text(utf8: Digest.sha3Hex(CertificateText.removingMarkers(identity.utf8)))
    }

    /// A certificate, in PEM or as its base64 body; nil when nothing is left of it, or when it holds a private key.
    public static func x509Certificate(_ text: Text) -> Credentials? {
        guard let body = CertificateText.body(of: text.utf8) else { return nil }
        if let der = Base64.decode(body), Certificate(der: der) == nil, isPrivateKey(der: der) { return nil }
        return Credentials(type: .x509Certificate, id: Text(utf8: Digest.sha3Hex(body)), value: Text(utf8: body))
    }
}

extension Text {
    /// Whether there is a character from U+0000 to U+001F, or U+007F.
    var hasControlCharacters: Bool { utf8.contains { $0 < 0x20 || $0 == 0x7F } }
}
