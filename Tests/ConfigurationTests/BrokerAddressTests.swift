import Configuration
import Testing

@Suite("The address of a broker")
struct BrokerAddressTests {
    @Test(arguments: [
        ("mqtt://broker", "broker", 1883, "mqtt://broker:1883"),
        ("MQTT://broker.site.example:1884", "broker.site.example", 1884, "mqtt://broker.site.example:1884"),
        ("mqtt://127.0.0.1:1/", "127.0.0.1", 1, "mqtt://127.0.0.1:1"),
        ("mqtt://[::1]", "::1", 1883, "mqtt://[::1]:1883"),
        ("mqtt://[fe80::1%eth0]:65535", "fe80::1%eth0", 65535, "mqtt://[fe80::1%eth0]:65535"),
    ])
    func `names and numbers are read, the port is 1883 unless given`(
        url: String, host: String, port: UInt16, description: String
    ) throws {
        let address = try BrokerAddress(url)
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.description == description)
    }

    @Test(arguments: [
        "", "mqtt://", "mqtt:///", "broker", "broker:1883", "tcp://broker", "mqtt://broker:", "mqtt://broker:0",
        "mqtt://broker:65536", "mqtt://broker:+1", "mqtt://user@broker", "mqtt://user:secret@broker",
        "mqtt://broker/topic", "mqtt://broker?x", "mqtt://a b", "mqtt://::1", "mqtt://[::1", "mqtt://[]",
        "mqtt://a:1:2",
        "mqtt://\u{1B}", "mqtt://" + String(repeating: "x", count: 254),
    ])
    func `anything else is refused`(url: String) {
        #expect(throws: BrokerAddress.Flaw.self) { try BrokerAddress(url) }
    }

    @Test func `mqtts means TLS, and port 8883 unless given`() throws {
        let address = try BrokerAddress("MQTTS://broker")
        #expect(address.isEncrypted)
        #expect(address.description == "mqtts://broker:8883")
        #expect(try BrokerAddress("mqtts://[::1]:1883").description == "mqtts://[::1]:1883")
        #expect(try !BrokerAddress("mqtt://broker:8883").isEncrypted)
    }

    @Test func `the keys of mqtt are checked`() throws {
        let settings = [
            "mqtt.url=mqtt://b", "mqtt.version=3.1.1", "mqtt.response-topics=yes", "mqtt.client-id=hub-7",
            "mqtt.ca-file=/etc/ca.pem",
        ]
        let mqtt = try Configuration.load(file: nil, overrides: settings).mqtt
        #expect(mqtt.url?.host == "b")
        #expect(mqtt.version == .v311)
        #expect(mqtt.responseTopics)
        #expect(!mqtt.sharedResponses)
        #expect(mqtt.clientId == "hub-7")
        #expect(mqtt.caFile == "/etc/ca.pem")
        for bad in ["mqtt.version=4", "mqtt.shared-responses=true", "mqtt.client-id=", "mqtt.username=a\u{7}b"] {
            #expect(throws: ConfigurationError.self) { try Configuration.load(file: nil, overrides: [bad]) }
        }
    }
}
