import Testing

@testable import DeviceAPI

@Suite("Topics of requests and answers over MQTT")
struct MQTTTopicsTests {
    private func route(
        _ topic: String, isRetained: Bool = false, to responseTopic: String? = nil, responseTopics: Bool = false,
        sharedResponses: Bool = false
    ) -> MQTTTopics.Route {
        MQTTTopics(hasProperties: true, responseTopics: responseTopics, sharedResponses: sharedResponses)
            .route(MQTTRequest(topic: topic, payload: [], isRetained: isRetained, responseTopic: responseTopic))
    }

    @Test(arguments: ["17", "pump-1", "a b", "żółw-日本", "$x", "%c", String(repeating: "x", count: 235)])
    func `a level of its own is answered on the same level`(level: String) {
        #expect(route("/provision/request/\(level)") == .answer(topic: "/provision/response/\(level)"))
    }

    @Test(arguments: [
        "", "/provision/request/", "/provision/request/a/b", "/provision/request/a/", "/provision/request/+",
        "/provision/request/#", "/provision/request/a+b", "/provision/requests", "/provision/request2/a",
        "provision/request", "provision/request/a", "/provision/response", "/provision/response/a",
        "/provision/request/" + String(repeating: "x", count: 236),
    ])
    func `other topics are ignored`(topic: String) {
        #expect(route(topic, responseTopics: true, sharedResponses: true) == .ignore(.topic))
    }

    @Test func `retained requests are ignored, whatever they want`() {
        #expect(route("/provision/request/a", isRetained: true) == .ignore(.retained))
        #expect(route("/provision/request", isRetained: true, to: "r", responseTopics: true) == .ignore(.retained))
    }

    @Test func `the shared topic is refused, unless everybody may read the answers`() {
        #expect(route("/provision/request") == .refuse(topic: "/provision/response"))
        #expect(route("/provision/request", to: "r/1") == .refuse(topic: "/provision/response"))
        #expect(route("/provision/request", sharedResponses: true) == .answer(topic: "/provision/response"))
    }

    @Test func `a response topic counts only where it is allowed`() {
        #expect(route("/provision/request", to: "r/1", responseTopics: true) == .answer(topic: "r/1"))
        #expect(route("/provision/request/a", to: "r/1", responseTopics: true) == .answer(topic: "r/1"))
        #expect(route("/provision/request/a", to: "r/1") == .answer(topic: "/provision/response/a"))
    }

    @Test(arguments: [
        "", "r/+", "r/#", "#", "+", "a+", "$SYS/broker", "$nearhub/consumed", "$share/g/t", "/provision/request",
        "/provision/request/b", "/provision/response", "/provision/response/b", "/provision/", "r\0",
        String(repeating: "x", count: 256),
    ])
    func `a response topic that is not the device's own is not used`(topic: String) {
        #expect(
            route("/provision/request", to: topic, responseTopics: true) == .refuse(topic: "/provision/response"))
        #expect(
            route("/provision/request/a", to: topic, responseTopics: true)
                == .answer(topic: "/provision/response/a"))
    }

    @Test func `a packet has 256 bytes`() {
        let modern = MQTTTopics(hasProperties: true, responseTopics: true, sharedResponses: true)
        let classic = MQTTTopics(hasProperties: false, responseTopics: false, sharedResponses: false)
        // 1 type, 2 remaining length, 2 + 19 topic.
        #expect(classic.room(topic: "/provision/response", correlationData: nil) == 256 - 24)
        // And 1 length of the properties; an expiry of 5 only on topics of the device's own.
        #expect(modern.room(topic: "/provision/response/7", correlationData: nil) == 256 - 24 - 2 - 1)
        #expect(modern.room(topic: "answers", correlationData: nil) == 256 - 5 - 7 - 6)
        #expect(modern.room(topic: "answers", correlationData: [1, 2, 3]) == 256 - 5 - 7 - 12)
        let data = [UInt8](repeating: 0, count: 120)
        #expect(modern.room(topic: "r", correlationData: data) == 256 - 5 - 1 - 2 - 5 - 123)
        #expect(modern.room(topic: "r", correlationData: Array(repeating: 0, count: 65_535)) == 0)
    }
}
