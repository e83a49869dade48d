internal import JSON
internal import MQTTClient
internal import Provisioning
internal import Testing

@testable internal import Upstream

@Suite("Dialect thingsboard-gateway")
struct GatewayDialectTests {
    private func running() -> Play<GatewayDialect> {
        var settings = Settings(hub: hub)
        settings.login = MQTTLogin(username: "token", password: nil)
        var play = Play(GatewayDialect(settings))
        play.take(.start)
        play.take(.connected(channel))
        return play
    }

    @Test func `makes a device known with its profile, then tells its attributes`() throws {
        var play = running()
        play.take(.device(change(1)))
        #expect(play.topics == ["v1/gateway/connect", "v1/gateway/attributes"])
        #expect(
            String(decoding: play.published[0].publication.payload, as: UTF8.self)
                == #"{"device":"D1","type":"meters"}"#)
        #expect(try play.json(1)["D1"]?["provisionState"]?.text == "provisioned")
        #expect(play.published.allSatisfy { $0.publication.qos == 1 && !$0.publication.isRetained })
        let receipt = try #require(play.published[0].receipt)
        play.take(.acknowledged(channel, receipt, code: 0, reason: ""))
        #expect(play.outcomes.isEmpty)
        play.acknowledge(from: 1)
        #expect(play.outcomes == ["i1": .confirmed])
    }

    @Test func `says nothing of attributes when there are none`() {
        var bare = device(1)
        bare.attributes = JSONObject()
        var play = running()
        play.take(.device(Change(seq: 1, device: "i1", content: .device(bare, nil), upstreamName: "D1")))
        #expect(play.topics == ["v1/gateway/connect"])
        play.acknowledge()
        #expect(play.outcomes == ["i1": .confirmed])
    }

    @Test func `tells which limit refused it`() {
        var play = running()
        play.take(.device(change(1)))
        play.acknowledge(code: 0x97)
        #expect(play.outcomes == ["i1": .refused(.quota)])
    }

    @Test func `cannot say that a device is gone`() {
        var play = running()
        play.take(.device(farewell(1, seq: 2)))
        #expect(play.outcomes == ["i1": .refused(.unsupportedByDialect)])
    }

    @Test func `gives up after 15 s without PUBACK, since the hub is no gateway there`() {
        var play = running()
        play.take(.device(change(1)))
        let before = play.now
        play.wait()
        #expect(play.now - before == .seconds(15))
        #expect(play.drops == 1 && play.rewinds.last == .max)
        guard case .waiting(let reason, _)? = play.links.last else {
            Issue.record("no wait")
            return
        }
        #expect(reason.contains("gateway"))
    }

    @Test(arguments: [UInt8(1), 0x84])
    func `speaks MQTT 3_1_1 where MQTT 5 is not known`(code: UInt8) {
        var play = running()
        #expect(play.introductions.last?.version == .v5)
        play.take(.disconnected(channel, MQTTLoss(.refused(code: code), reason: "version")))
        play.wait()
        #expect(play.introductions.last?.version == .v311)
    }

    /// Such a ThingsBoard was called for ever.
    @Test func `speaks MQTT 3_1_1 where connections are closed without a word, but not after a single one`() {
        var play = running()
        var versions: [MQTTOptions.Version] = []
        for _ in 0..<7 {
            play.take(.disconnected(channel, MQTTLoss(.closed, reason: "closed before CONNACK")))
            play.wait()
            versions.append(play.introductions.last?.version ?? .v5)
        }
        #expect(versions == [.v5, .v5, .v311, .v311, .v311, .v5, .v5])
        play.take(.connected(channel))
        play.take(.disconnected(channel, MQTTLoss(.closed, wasAccepted: true, reason: "lost")))
        play.wait()
        #expect(play.introductions.last?.version == .v5)
    }
}
