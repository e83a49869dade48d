internal import Crypto
internal import JSON
internal import Provisioning
internal import Testing

@Suite("Credentials of a device")
struct CredentialsTests {
    /// What a request with these members gets; nil when it is refused for its credentials.
    private func made(_ members: String) throws -> Credentials? {
        let decision = try Devices().provision("D1", members, profile())
        if decision.device == nil { #expect(decision.word == "CREDENTIALS_INVALID") }
        return decision.device?.credentials
    }

    @Test(arguments: [
        "", #","credentialsType":"ACCESS_TOKEN""#, #","credentialsType":"MQTT_BASIC""#,
        #","credentialsType":"X509_CERTIFICATE""#, #","credentialsType":"LWM2M_CREDENTIALS""#,
        #","token":"","hash":"","username":"","password":"","clientId":"""#, #","token":null,"hash":null"#,
    ])
    func `without any of its own the device gets a random token, whatever type it asked for`(members: String) throws {
        let credentials = try #require(try made(members))
        #expect(credentials.type == .accessToken)
        #expect(credentials.id.utf8.count == 20)
        #expect(credentials.value == nil)
    }

    @Test(arguments: [
        (#""testTOKEN""#, "testTOKEN"), (#"" blank ""#, " blank "), ("42", "42"), ("-7", "-7"), ("true", "true"),
        ("false", "false"), (#""Zähler 😀""#, "Zähler 😀"),
        (#""\#(String(repeating: "x", count: 5000))""#, String(repeating: "x", count: 5000)),
    ])
    func `an access token is taken as it is`(json: String, id: String) throws {
        #expect(try made(",\"token\":\(json)") == Credentials(type: .accessToken, id: Text(id)))
    }

    @Test(arguments: [
        ("", "u", "", "u"), ("", "u", "p", "u"),
        ("test_clientId", "", "", "3eabb72fa0908cae833970e2d63c52fc584b5460205da426d34f6934efa40497"),
        ("test_clientId", "test_username", "", "b9f1b0bf238dddae689babba0a210fe42bc97ddb07620b5a07d7208dd5528db2"),
        ("test_clientId", "test_username", "p", "b9f1b0bf238dddae689babba0a210fe42bc97ddb07620b5a07d7208dd5528db2"),
    ])
    func `MQTT credentials are found by user name or by a hash with the client id`(
        clientId: String, userName: String, password: String, id: String
    ) throws {
        let fields = [("clientId", clientId), ("username", userName), ("password", password)]
        let members = fields.map { #","\#($0)":"\#($1)""# }.joined()
        let value = #"{"clientId":"\#(clientId)","userName":"\#(userName)","password":"\#(password)"}"#
        let expected = Credentials(type: .mqttBasic, id: Text(id), value: Text(value))
        #expect(try made(#","credentialsType":"MQTT_BASIC""# + members) == expected)
    }

    @Test func `the value of MQTT credentials is escaped`() throws {
        let credentials = try made(#","credentialsType":"MQTT_BASIC","username":"a\"\\/é","password":"<\u2028>""#)
        #expect(credentials?.id == "a\"\\/é")
        #expect(credentials?.value == #"{"clientId":"","userName":"a\"\\/é","password":"<\u2028>"}"#)
    }

    @Test(arguments: [
        ("a-----BEGIN CERTIFICATE-----b", "ab"), ("a-----END CERTIFICATE-----b", "ab"),
        ("-----BEGIN CER-----BEGIN CERTIFICATE-----TIFICATE-----", "-----BEGIN CERTIFICATE-----"),
        ("-----BEGIN CERTIFICATE----------BEGIN CERTIFICATE-----x", "x"),
        ("-----BEGIN CERTIFICATE----", "-----BEGIN CERTIFICATE----"),
    ])
    func `of a client id ThingsBoard hashes what is left without certificate markers`(clientId: String, hashed: String)
    {
        let id = Credentials.mqttBasicId(clientId: Text(clientId), userName: "", password: "")
        #expect(id == Text(utf8: Digest.sha3Hex(Array(hashed.utf8))))
    }

    @Test(arguments: [
        #""credentialsType":"ACCESS_TOKEN","username":"u""#, #""username":"u""#, #""hash":"MIIB""#,
        #""credentialsType":"MQTT_BASIC","password":"p""#,
        #""credentialsType":"MQTT_BASIC","clientId":"c","password":"p""#,
        #""credentialsType":"MQTT_BASIC","token":"t""#, #""credentialsType":"X509_CERTIFICATE","token":"t""#,
        #""credentialsType":"X509_CERTIFICATE","hash":"\n\r ""#, #""credentialsType":"LWM2M_CREDENTIALS","token":"t""#,
        #""token":"a\u0001b""#, #""token":"a\u007fb""#, #""token":"a\nb""#,
        #""credentialsType":"MQTT_BASIC","username":"a\tb""#, #""credentialsType":"MQTT_BASIC","clientId":"a\u001fb""#,
        #""credentialsType":"MQTT_BASIC","username":"u","password":"a\u007f""#,
    ])
    func `credentials that cannot be used are refused, and no device is made`(members: String) throws {
        let devices = Devices()
        #expect(try devices.provision("D1", "," + members, profile()).word == "CREDENTIALS_INVALID")
        #expect(devices.all.isEmpty)
    }

    @Test(arguments: [
        "MIIBAAAA", "MIIB\nAAAA\n", "MIIB\r\nAAAA\r\n", "MI IB\tAAAA ", "MIIB\\nAAAA\\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\\nMIIB\\nAAAA\\n-----END CERTIFICATE-----\\n",
        "-----BEGIN CERTIFICATE-----MIIBAAAA-----END CERTIFICATE-----",
        "subject=/CN=x\nissuer=/CN=y\n-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\ntrailing",
        "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nMIICBBBB\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMIIBAAAA", "MIIBAAAA\n-----END CERTIFICATE-----",
    ])
    func `of a certificate the base64 body of the first is kept`(text: String) throws {
        let credentials = try made(#","credentialsType":"X509_CERTIFICATE","hash":"# + text.quoted)
        #expect(credentials?.id == "5ef5c43d5106429e4b4f4c0d543e8e4cdaada96fa210e208a35526be302b40e5")
        #expect(credentials?.value == "MIIBAAAA")
        #expect(credentials?.type == .x509Certificate)
    }

    @Test(arguments: [
        "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "-----END CERTIFICATE-----MIIB", " \\n\t\r\n",
    ])
    func `a private key and an empty certificate are refused`(text: String) throws {
        #expect(Credentials.x509Certificate(Text(text)) == nil)
        #expect(try made(#","credentialsType":"X509_CERTIFICATE","hash":"# + text.quoted) == nil)
    }

    @Test func `any text may stand for a certificate, as in ThingsBoard`() throws {
        let credentials = try made(#","credentialsType":"X509_CERTIFICATE","hash":"testHash""#)
        #expect(credentials?.id == "57f6600424d6553263f1f32e0117012894a36fbf07e3e9c3c556272f86b7d985")
        #expect(credentials?.value == "testHash")
    }
}

@Suite("Names of devices")
struct DeviceNameTests {
    @Test(arguments: [
        ("", ""), ("a", "a"), (" a b ", "a b"), ("\t\n\u{1}a\u{0}\u{1F} ", "a"), ("\u{A0}a\u{A0}", "\u{A0}a\u{A0}"),
        ("   ", ""), ("\u{7F}", "\u{7F}"), ("ä", "ä"),
    ])
    func `characters up to U+0020 go at both ends`(name: String, trimmed: String) {
        #expect(DeviceName.trimmed(Text(name)) == Text(trimmed))
    }

    @Test(arguments: ["x", "ä", "€", "😀"]) func `255 UTF-16 units are taken, more are refused`(character: String) throws
    {
        let units = character.utf16.count
        let longest = String(repeating: character, count: 255 / units)
        #expect(DeviceName.fault(Text(longest)) == nil)
        #expect(
            DeviceName.fault(Text(longest + character))
                == "Validation error: name length must be equal or less than 255")
        #expect(try Devices().provision(longest, profile()).device?.name == Text(longest))
        #expect(try Devices().provision("  \(longest)  ", profile()).word == "SUCCESS")
        #expect(try Devices().provision(longest + character, profile()).word == "NAME_INVALID")
    }

    @Test(arguments: [
        "{{x}}", "a{{}}b", "{{{}}}", "<b>", "a<b", "<B", "</x", "<!--", "<?xml", "a\u{0}b",
    ])
    func `templates, markup and NUL are refused`(name: String) throws {
        #expect(DeviceName.fault(Text(name)) == "Validation error: name is malformed")
        guard !name.contains("\0") else { return }
        let devices = Devices()
        #expect(try devices.provision(name, profile()).word == "NAME_INVALID")
        #expect(devices.all.isEmpty)
    }

    @Test(arguments: [
        "{x}", "{{x}", "}}{{", "{{", "a < b", "1<2", "<", "a<", "<1", "<<", "a>b", "/ + #", "Zähler 1", "'\"\\&", "東京",
    ])
    func `everything else is taken`(name: String) throws {
        #expect(DeviceName.fault(Text(name)) == nil)
        let decision = try Devices().provision(nil, ",\"deviceName\":" + name.quoted, profile())
        #expect(decision.device?.name == Text(name))
    }

    @Test func `an empty name of an administrator is refused`() {
        #expect(DeviceName.fault("") == "Device name should be specified!")
    }
}
