import Crypto
import JSON
import MQTTClient
import Provisioning
import Testing
import Upstream

@Suite("Dialect thingsboard: requests")
struct ThingsBoardRequestTests {
    private func payload(_ credentials: Credentials?, isGateway: Bool = false) throws -> String {
        let play = ThingsBoardPlay.connected()
        play.offer("a", credentials, isGateway: isGateway)
        return String(decoding: try #require(play.requests[Channel(0)]?.payload), as: UTF8.self)
    }

    private let beginning =
        #"{"deviceName":"up-a","provisionDeviceKey":"key","provisionDeviceSecret":"secret","credentialsType":"#

    private func basic(_ clientId: Text, _ userName: Text, _ password: Text) throws -> Credentials {
        try #require(Credentials.mqttBasic(clientId: clientId, userName: userName, password: password))
    }

    @Test func `name, type and the issued credentials are always there, absent ones never`() throws {
        #expect(try payload(ThingsBoardPlay.token("t")) == beginning + #""ACCESS_TOKEN","token":"t"}"#)
        #expect(try payload(ThingsBoardPlay.certificate) == beginning + #""X509_CERTIFICATE","hash":"MIIB"}"#)
        #expect(
            try payload(basic("c", "u", "p"))
                == beginning + #""MQTT_BASIC","username":"u","password":"p","clientId":"c"}"#)
        #expect(try payload(basic("", "u", "")) == beginning + #""MQTT_BASIC","username":"u"}"#)
        #expect(try payload(basic("c", "", "")) == beginning + #""MQTT_BASIC","clientId":"c"}"#)
        let nulls = Credentials(type: .mqttBasic, id: "u", value: #"{"clientId":null,"userName":"u"}"#)
        #expect(try payload(nulls) == beginning + #""MQTT_BASIC","username":"u"}"#)
        #expect(
            try payload(ThingsBoardPlay.token("t"), isGateway: true)
                == beginning + #""ACCESS_TOKEN","token":"t","gateway":true}"#)
    }

    @Test func `one profile upstream for all, if so configured`() throws {
        let play = ThingsBoardPlay.connected { $0.provisioning = ("all", Secret(Array("s".utf8))) }
        play.offer("a", profile: nil)
        let json = try JSONValue.parse(try #require(play.requests[Channel(0)]?.payload))
        #expect(json["provisionDeviceKey"]?.text == "all" && json["provisionDeviceSecret"]?.text == "s")
    }

    @Test func `what cannot be said upstream is refused at once, and asked for never`() throws {
        let play = ThingsBoardPlay.connected()
        play.offer("key-less", profile: nil)
        play.offer("lwm2m", Credentials(type: .lwm2m, id: "x", value: "{}"))
        play.offer(
            "long", Credentials(type: .x509Certificate, id: "x", value: Text(String(repeating: "M", count: 65_500))))
        play.tell(.device(Change(seq: 9, device: "gone", content: .deleted, upstreamName: "")))
        #expect(
            play.outcomes == [
                "key-less": .refused(.noProvisionKey), "lwm2m": .refused(.unsupportedByDialect),
                "long": .refused(.notAccepted), "gone": .refused(.unsupportedByDialect),
            ])
        #expect(play.published == 0)
    }

    @Test(arguments: [
        (#"{"credentialsValue":"MIIB","credentialsType":"X509_CERTIFICATE","status":"SUCCESS"}"#, 0),
        (
            #"{"credentialsValue":{"clientId":"c","userName":"u","password":"p"},"credentialsType":"MQTT_BASIC","status":"SUCCESS"}"#,
            1
        ),
        (
            #"{"status":"SUCCESS","credentialsValue":{"userName":"u","clientId":null},"credentialsType":"MQTT_BASIC"}"#,
            2
        ),
    ])
    func `the credentials of a SUCCESS are compared by what they are`(answer: String, which: Int) throws {
        let issued = try [ThingsBoardPlay.certificate, basic("c", "u", "p"), basic("", "u", "")]
        let play = ThingsBoardPlay.connected()
        play.offer("a", issued[which])
        try play.answer(answer)
        #expect(play.outcomes == ["a": .confirmed])
    }
}
