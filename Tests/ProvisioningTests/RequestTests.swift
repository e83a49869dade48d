internal import Crypto
internal import JSON
internal import Provisioning
internal import Testing

/// What is wrong with a body; nil when it can be read.
private func fault(_ text: String) -> String? {
    do throws(MalformedRequest) {
        _ = try ProvisionRequest(Array(text.utf8))
        return nil
    } catch { return error.detail }
}

/// A body with key, secret and the given members.
private func body(_ members: String) -> String {
    #"{"provisionDeviceKey":"Xq7Key","provisionDeviceSecret":"Xq7Secret",\#(members)}"#
}

@Suite("Requests")
struct RequestTests {
    @Test func `every member is read`() throws {
        let request = try ProvisionRequest(
            Array(
                body(
                    #""deviceName":" D1 ","credentialsType":"MQTT_BASIC","token":"t","hash":"h","clientId":"c","#
                        + #""username":"u","password":"p","gateway":true,"unknown":{"a":[1]},"devicename":"x""#
                ).utf8))
        #expect(request.deviceName == " D1 ")
        #expect(request.provisionKey == "Xq7Key")
        #expect(request.provisionSecret.matches(Array("Xq7Secret".utf8)))
        #expect(request.credentialsType == .mqttBasic)
        #expect(
            [request.token, request.hash, request.clientId, request.username, request.password] == [
                "t", "h", "c", "u", "p",
            ])
        #expect(request.isGateway)
    }

    @Test(arguments: [
        ("42", "42"), ("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807"),
        ("true", "true"), ("false", "false"), ("null", ""), (#""""#, ""), (#""\u0041""#, "A"),
    ])
    func `text may come as an integer or a truth value`(json: String, text: String) throws {
        for name in ["deviceName", "token", "hash", "clientId", "username", "password"] {
            let request = try ProvisionRequest(Array(body("\"\(name)\":\(json)").utf8))
            let all = [
                request.deviceName, request.token, request.hash, request.clientId, request.username, request.password,
            ]
            #expect(all.count { $0 == Text(text) } == (text.isEmpty ? 6 : 1), "\(name)")
        }
        if json != "null" {
            let key = try ProvisionRequest(Array(#"{"provisionDeviceKey":\#(json),"provisionDeviceSecret":"s"}"#.utf8))
            #expect(key.provisionKey == Text(text))
        }
    }

    @Test(arguments: [
        ("{}", "provisionDeviceKey is missing"), (#"{"provisionDeviceKey":"k"}"#, "provisionDeviceSecret is missing"),
        (#"{"provisionDeviceSecret":"Xq7s"}"#, "provisionDeviceKey is missing"),
        (#"{"provisionDeviceKey":null,"provisionDeviceSecret":"Xq7s"}"#, "provisionDeviceKey is null"),
        (#"{"provisionDeviceKey":"Xq7k","provisionDeviceSecret":null}"#, "provisionDeviceSecret is null"),
        (#"{"provisionDeviceKey":["Xq7k"],"provisionDeviceSecret":"s"}"#, "provisionDeviceKey is not text"),
        (
            #"{"provisionDeviceKey":1.5,"provisionDeviceSecret":"s"}"#,
            "provisionDeviceKey is a number that is no integer of 64 bits"
        ),
        (body(#""deviceName":{"Xq7":1}"#), "deviceName is not text"),
        (body(#""deviceName":[]"#), "deviceName is not text"),
        (body(#""deviceName":["Xq7"]"#), "deviceName is not text"),
        (body(#""token":1e3"#), "token is a number that is no integer of 64 bits"),
        (body(#""password":{}"#), "password is not text"),
        (body(#""gateway":{}"#), "gateway is neither true nor false"),
        (body(#""gateway":["Xq7"]"#), "gateway is neither true nor false"),
        (
            body(#""credentialsType":"Xq7""#),
            "credentialsType is not one of ACCESS_TOKEN, X509_CERTIFICATE, MQTT_BASIC, LWM2M_CREDENTIALS"
        ),
        (
            body(#""credentialsType":"""#),
            "credentialsType is not one of ACCESS_TOKEN, X509_CERTIFICATE, MQTT_BASIC, LWM2M_CREDENTIALS"
        ),
        (
            body(#""credentialsType":"access_token""#),
            "credentialsType is not one of ACCESS_TOKEN, X509_CERTIFICATE, MQTT_BASIC, LWM2M_CREDENTIALS"
        ),
        (
            body(#""credentialsType":1"#),
            "credentialsType is not one of ACCESS_TOKEN, X509_CERTIFICATE, MQTT_BASIC, LWM2M_CREDENTIALS"
        ),
        ("[]", "not a JSON object"), (#"["Xq7"]"#, "not a JSON object"),
        ("", "not valid JSON: it ends too early at byte 0"),
        (body(#""a":1"#) + "Xq7", "not valid JSON: more text follows the value at byte 75"),
        (body(#""token":12345678901234567890123"#), "a number out of range at byte 98"),
        (String(repeating: "[", count: 17) + String(repeating: "]", count: 17), "nesting over 16"),
    ])
    func `the malformed are answered with member and rule, never with the input`(text: String, detail: String) {
        #expect(fault(text) == detail)
        #expect(!detail.contains("Xq7"))
    }

    @Test func `a request never shows its secret`() throws {
        let request = try ProvisionRequest(Array(body(#""deviceName":"D1""#).utf8))
        var dumped = ""
        dump(request, to: &dumped)
        #expect(!dumped.contains("Xq7Secret") && dumped.contains("D1"))
        #expect(!"\(request)".contains("Xq7Secret"))
    }
}
