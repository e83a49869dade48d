internal import JSON
internal import Provisioning
internal import TestSupport
internal import Testing

/// A device with the given credentials.
private func device(_ credentials: Credentials) -> Device {
    Device(id: "i", name: "D1", profile: "profile-id", createdTime: 1, credentials: credentials)
}

private func text(_ answer: ProvisionAnswer, bytes: Int? = nil, members: Int? = nil) -> String {
    String(decoding: answer.bytes(maximumBytes: bytes, maximumMembers: members), as: UTF8.self)
}

private let token = Credentials(type: .accessToken, id: "t")
private let basic = Credentials(
    type: .mqttBasic, id: "u", value: #"{"clientId":"c","userName":"u","password":"p"}"#)

@Suite("Answers")
struct AnswerTests {
    @Test(arguments: [
        (token, #"{"credentialsValue":"t","credentialsType":"ACCESS_TOKEN","status":"SUCCESS""#, "t"),
        (
            basic,
            #"{"credentialsValue":{"clientId":"c","userName":"u","password":"p"},"credentialsType":"MQTT_BASIC","status":"SUCCESS""#,
            "u"
        ),
        (
            Credentials(type: .mqttBasic, id: "u", value: #"{"clientId":null,"userName":"u","password":null}"#),
            #"{"credentialsValue":{"clientId":null,"userName":"u","password":null},"credentialsType":"MQTT_BASIC","status":"SUCCESS""#,
            "u"
        ),
        (
            Credentials(type: .x509Certificate, id: "5ef5", value: "MII/+="),
            #"{"credentialsValue":"MII/+=","credentialsType":"X509_CERTIFICATE","status":"SUCCESS""#, "5ef5"
        ),
        (
            Credentials(type: .lwm2m, id: "e", value: "{}"),
            #"{"credentialsType":"LWM2M_CREDENTIALS","status":"SUCCESS""#, "e"
        ),
        (
            Credentials(type: .accessToken, id: "\"\\/\u{2028}é"),
            #"{"credentialsValue":"\"\\/\u2028é","credentialsType":"ACCESS_TOKEN","status":"SUCCESS""#,
            #"\"\\/\u2028é"#
        ),
    ])
    func `a success has ThingsBoard's members first, then the old documents'`(
        credentials: Credentials, modern: String, id: String
    ) {
        let device = device(credentials)
        let legacy = #","provisionDeviceStatus":"SUCCESS","credentialsId":"\#(id)","deviceId":"i""#
        for (madeUpName, further) in [
            (false, legacy + #","deviceName":"D1""#), (true, #","deviceName":"D1""# + legacy),
        ] {
            let outcome = Decision.Outcome.success(device, madeUpName: madeUpName)
            #expect(text(ProvisionAnswer(outcome, legacyFields: true)) == modern + further + "}")
            #expect(text(ProvisionAnswer(outcome, legacyFields: false)) == modern + "}")
        }
    }

    @Test func `a refusal has ThingsBoard's members, then the reason`() {
        let answer = ProvisionAnswer(.failure(.nameTaken), legacyFields: true)
        #expect(
            text(answer)
                == #"{"errorMsg":"Failed to provision device!","status":"FAILURE","provisionDeviceStatus":"FAILURE","reason":"NAME_TAKEN"}"#
        )
        #expect(
            text(ProvisionAnswer(.failure(.nameTaken), legacyFields: false))
                == #"{"errorMsg":"Failed to provision device!","status":"FAILURE"}"#)
    }

    @Test func `not found never has a reason`() {
        #expect(
            text(ProvisionAnswer(.notFound, legacyFields: true))
                == #"{"errorMsg":"Provision data was not found!","status":"NOT_FOUND","provisionDeviceStatus":"NOT_FOUND"}"#
        )
        #expect(
            text(ProvisionAnswer(.notFound, legacyFields: false))
                == #"{"errorMsg":"Provision data was not found!","status":"NOT_FOUND"}"#)
    }

    @Test func `the malformed get a detail`() {
        let malformed = MalformedRequest("provisionDeviceKey is missing")
        #expect(
            text(ProvisionAnswer(malformed, legacyFields: true))
                == #"{"errorMsg":"Failed to provision device!","status":"FAILURE","provisionDeviceStatus":"FAILURE","reason":"MALFORMED","detail":"provisionDeviceKey is missing"}"#
        )
        #expect(
            text(ProvisionAnswer(malformed, legacyFields: false))
                == #"{"errorMsg":"Failed to provision device!","status":"FAILURE"}"#)
    }

    @Test func `a bound of bytes is kept to the byte, and a member is there whole or not at all`() throws {
        let answer = ProvisionAnswer(.success(device(token), madeUpName: false), legacyFields: true)
        let whole = text(answer)
        let names = ["provisionDeviceStatus", "credentialsId", "deviceId", "deviceName"]
        let modern = text(ProvisionAnswer(.success(device(token), madeUpName: false), legacyFields: false))
        var seen: Set<Int> = []
        for bound in 0...whole.utf8.count + 5 {
            let short = text(answer, bytes: bound)
            #expect(short.utf8.count <= max(bound, modern.utf8.count))
            let members = try #require(try JSONValue.parse(Array(short.utf8)).object).members.map(\.name.description)
            #expect(members == ["credentialsValue", "credentialsType", "status"] + names.prefix(members.count - 3))
            seen.insert(members.count)
            // One more member would not have fitted.
            if members.count < 7 {
                let next = text(answer, members: members.count + 1)
                #expect(next.utf8.count > bound)
            }
        }
        #expect(seen == [3, 4, 5, 6, 7])
        #expect(text(answer, bytes: whole.utf8.count) == whole)
    }

    @Test(arguments: [
        (token, 7, 7), (token, 8, 7), (token, 5, 5), (token, 3, 3), (token, 0, 3), (basic, 8, 8), (basic, 6, 6),
        (basic, 7, 7), (basic, 1, 6), (Credentials(type: .lwm2m, id: "e"), 8, 6),
        (Credentials(type: .lwm2m, id: "e"), 3, 3),
    ])
    func `a bound of members counts nested ones`(credentials: Credentials, bound: Int, count: Int) throws {
        let answer = ProvisionAnswer(.success(device(credentials), madeUpName: true), legacyFields: true)
        let object = try #require(try JSONValue.parse(answer.bytes(maximumMembers: bound)).object)
        let nested = object.members.reduce(0) { $0 + ($1.value.object?.members.count ?? 0) }
        #expect(object.members.count + nested == count)
    }

    @Test func `bounds hold for the longest answers too`() {
        let long = Text(String(repeating: "\"", count: 5000))
        let outcome = Decision.Outcome.success(device(Credentials(type: .accessToken, id: long)), madeUpName: false)
        let short = text(ProvisionAnswer(outcome, legacyFields: true), bytes: 256, members: 8)
        #expect(short == text(ProvisionAnswer(outcome, legacyFields: false)))
    }
}
