internal import JSON
internal import Provisioning

extension Credentials {
    /// Credentials as administrators enter them (protocol.md 10.6); ids that follow from the value are computed.
    init(admin json: JSONValue) throws(AdminError) {
        guard let type = json["credentialsType"]?.text.flatMap({ CredentialsType(rawValue: $0.description) }) else {
            let names = CredentialsType.allCases.map(\.rawValue).joined(separator: ", ")
            throw .badRequest("credentialsType must be one of \(names)")
        }
        let id = json["credentialsId"]?.text ?? ""
        switch type {
        case .accessToken:
            guard let token = Credentials.accessToken(id) else {
                throw .badRequest("Device credentials id should be specified!")
            }
            self = token
        case .x509Certificate:
            guard let certificate = json["credentialsValue"]?.text.flatMap(Credentials.x509Certificate) else {
                throw .badRequest("credentialsValue must be a certificate, without its private key")
            }
            self = certificate
        case .mqttBasic: self = try .mqttBasic(admin: json["credentialsValue"])
        case .lwm2m:
            guard !id.isEmpty else { throw .badRequest("Device credentials id should be specified!") }
            self.init(type: .lwm2m, id: id, value: json["credentialsValue"]?.text)
        }
    }

    /// Client id, user name and password, as JSON or as text with JSON in it; null stays null, as it is answered.
    private static func mqttBasic(admin value: JSONValue?) throws(AdminError) -> Credentials {
        var parsed = value
        if let text = value?.text { parsed = try? JSONValue.parse(text.utf8) }
        guard let object = parsed?.object else {
            throw .badRequest("Invalid credentials body for simple mqtt credentials!")
        }
        var parts: [Text: Text] = [:]
        for member in object.members {
            guard ["clientId", "userName", "password"].contains(member.name),
                member.value == .null || member.value.text != nil
            else { throw .badRequest("Invalid credentials body for simple mqtt credentials!") }
            parts[member.name] = member.value.text
        }
        let (clientId, userName) = (parts["clientId"] ?? "", parts["userName"] ?? "")
        if clientId.isEmpty && userName.isEmpty { throw .badRequest("Both mqtt client id and user name are empty!") }
        guard let id = mqttBasicId(clientId: clientId, userName: userName, password: parts["password"] ?? "") else {
            throw .badRequest("Password cannot be specified along with client id, nor may there be control characters")
        }
        var json = JSONWriter()
        json.beginObject()
        for name: Text in ["clientId", "userName", "password"] {
            json.name(escaping: name)
            json.value(object[name] ?? .text(""))
        }
        json.endObject()
        return Credentials(type: .mqttBasic, id: id, value: Text(utf8: json.bytes))
    }
}
