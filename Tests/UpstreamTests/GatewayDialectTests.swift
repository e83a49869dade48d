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

    /// It was called every 16 s for ever.
    @Test func `is called less and less often where nothing is ever acknowledged`() {
        var play = running()
        var waits: [Duration] = []
        for _ in 0..<5 {
            play.take(.device(change(1)))
            play.wait()
            waits.append((play.dialect.deadline ?? .zero) - play.now)
            play.wait()
            play.take(.connected(channel))
        }
        #expect(waits == [1, 2, 4, 8, 16].map(Duration.seconds))
        play.take(.device(change(1)))
        play.acknowledge(from: play.published.count - 2)
        play.take(.disconnected(channel, MQTTLoss(.closed, wasAccepted: true, reason: "lost")))
        #expect(play.dialect.deadline == play.now + .seconds(1))
    }

    // MARK: - Devices that ThingsBoard closes the connection for

    private func close(_ play: inout Play<GatewayDialect>) {
        play.take(.disconnected(channel, MQTTLoss(.closed, wasAccepted: true, reason: "closed")))
        play.wait()
        play.take(.connected(channel))
    }

    private func publish(_ attributes: JSONObject, _ play: inout Play<GatewayDialect>) {
        var other = device(1)
        other.attributes = attributes
        play.take(.device(Change(seq: 1, device: "i1", content: .device(other, nil), upstreamName: "D1")))
    }

    @Test func `refuses what is longer than ThingsBoard takes, and says nothing of it`() {
        var play = running()
        // {"D1":{"a":"…"}}
        publish(JSONObject([.init(name: "a", value: .text(Text(String(repeating: "x", count: 65_522))))]), &play)
        #expect(play.outcomes == ["i1": .refused(.notAccepted)] && play.published.isEmpty)
        play = running()
        publish(JSONObject([.init(name: "a", value: .text(Text(String(repeating: "x", count: 65_521))))]), &play)
        #expect(play.outcomes.isEmpty && play.published.last?.publication.payload.count == 65_536)
    }

    @Test func `leaves out attributes that are null`() throws {
        var play = running()
        publish(JSONObject([.init(name: "a", value: .null), .init(name: "b", value: .integer(1))]), &play)
        #expect(String(decoding: play.published[1].publication.payload, as: UTF8.self) == #"{"D1":{"b":1}}"#)
        play = running()
        publish(JSONObject([.init(name: "a", value: .null)]), &play)
        #expect(play.topics == ["v1/gateway/connect"])
    }

    /// All others waited behind it for ever.
    @Test func `finds the device for which the connection is closed, and refuses only that one`() {
        var play = running()
        for _ in 0..<3 {
            for number in 1...3 { play.take(.device(change(number))) }
            // That the second one is there is acknowledged; what its attributes are is not.
            let receipt = play.published[play.published.count - 4].receipt
            if let receipt { play.take(.acknowledged(channel, receipt, code: 0, reason: "")) }
            #expect(play.dialect.room(at: play.now) == 17)
            close(&play)
        }
        #expect(play.outcomes.isEmpty && play.dialect.room(at: play.now) == 1)
        play.take(.device(change(1)))
        #expect(play.dialect.room(at: play.now) == 0)
        play.acknowledge(from: play.published.count - 2)
        play.take(.device(change(2)))
        close(&play)
        #expect(play.outcomes == ["i1": .confirmed, "i2": .refused(.notAccepted)])
        // The next one in a row may be as innocent as all.
        play.take(.device(change(3)))
        close(&play)
        #expect(play.outcomes["i3"] == .unanswered(pause: .seconds(600)))
        for number in 4...20 {
            #expect(play.dialect.room(at: play.now) == 1)
            play.take(.device(change(number)))
            play.acknowledge(from: play.published.count - 2)
        }
        #expect(play.dialect.room(at: play.now) == 20)
        #expect(play.outcomes.values.filter { $0 == .confirmed }.count == 18)
    }

    @Test func `blames nobody for a link that breaks`() {
        var play = running()
        for _ in 0..<6 {
            play.take(.device(change(1)))
            play.take(.disconnected(channel, MQTTLoss(.silence, wasAccepted: true, reason: "no answer")))
            play.wait()
            play.take(.connected(channel))
        }
        #expect(play.outcomes.isEmpty && play.dialect.room(at: play.now) == 20)
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
