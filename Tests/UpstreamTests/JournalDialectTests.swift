internal import JSON
internal import MQTTClient
internal import Provisioning
internal import Testing

@testable internal import Upstream

@Suite("Dialect journal")
struct JournalDialectTests {
    private let cursorTopic = "nearhub/\(hub)/cursor"

    private func play(window: Int = 20, withCredentials: Bool = false) -> Play<JournalDialect> {
        var settings = Settings(hub: hub)
        settings.window = window
        settings.includesCredentials = withCredentials
        return Play(JournalDialect(settings))
    }

    /// One that is connected to a broker that keeps this cursor.
    private func running(
        window: Int = 20, cursor: UInt64? = 0, withCredentials: Bool = false
    ) -> Play<JournalDialect> {
        var play = play(window: window, withCredentials: withCredentials)
        play.take(.start)
        play.take(.connected(channel))
        play.take(.subscribed(channel, refused: []))
        if let cursor { play.take(.message(channel, MQTTMessage(cursorTopic, #"{"seq":\#(cursor)}"#))) }
        return play
    }

    private func loss(_ reason: String = "gone", _ cause: MQTTLoss.Cause = .closed) -> Input {
        .disconnected(channel, MQTTLoss(cause, wasAccepted: true, reason: reason))
    }

    @Test func `connects with a will, says that it is there, and asks for the cursor`() throws {
        let play = running(cursor: nil)
        let introduction = try #require(play.introductions.first)
        #expect(introduction.clientId == "nearhub-0123456789abcdef")
        #expect(introduction.subscriptions == [cursorTopic])
        #expect(introduction.will?.isRetained == true && introduction.will?.qos == 1)
        #expect(introduction.will.map { String(decoding: $0.payload, as: UTF8.self) } == #"{"online":false}"#)
        #expect(play.topics == ["nearhub/\(hub)/status"])
        #expect(try play.json(0)["online"]?.bool == true)
        #expect(play.published[0].publication.isRetained)
        #expect(play.dialect.room(at: play.now) == 0)
    }

    @Test func `goes on from the cursor that the broker keeps`() {
        var play = running(cursor: 41)
        #expect(play.rewinds == [41])
        #expect(play.links == [.connecting, .connected])
        #expect(play.dialect.room(at: play.now) == 20)
        // What it published itself comes back, and means nothing.
        play.take(.message(channel, MQTTMessage(cursorTopic, #"{"seq":7}"#)))
        #expect(play.rewinds == [41])
    }

    @Test(arguments: ["", "nonsense", #"{"seq":-1}"#, #"{"seq":"1"}"#, "[]"])
    func `tells everything anew after 2 s without a cursor that can be read`(payload: String) {
        var play = running(cursor: nil)
        if !payload.isEmpty { play.take(.message(channel, MQTTMessage(cursorTopic, payload))) }
        let before = play.now
        play.wait()
        #expect(play.now - before == .seconds(2))
        #expect(play.rewinds == [0])
    }

    /// It was held for a broker that has forgotten everything, and all was sent again at each connection.
    @Test func `leaves a broker that does not answer SUBSCRIBE, and calls less and less often`() {
        var play = play()
        play.take(.start)
        var waits: [Duration] = []
        for _ in 0..<4 {
            play.take(.connected(channel))
            let before = play.now
            play.wait()
            #expect(play.now - before == .seconds(15))
            waits.append((play.dialect.deadline ?? .zero) - play.now)
            play.wait()
        }
        #expect(waits == [1, 2, 4, 8].map(Duration.seconds))
        #expect(!play.rewinds.contains(0) && play.drops == 4 && !play.links.contains(.connected))
        // Nothing says that SUBACK comes before the messages (MQTT 5, 3.8.4).
        play.take(.connected(channel))
        play.take(.message(channel, MQTTMessage(cursorTopic, #"{"seq":41}"#)))
        #expect(play.rewinds.last == 41)
        play.take(.subscribed(channel, refused: []))
        #expect(play.dialect.room(at: play.now) == 20)
    }

    @Test func `publishes the state of a device without its credentials`() throws {
        var play = running()
        play.take(.device(change(1, seq: 7)))
        #expect(play.topics.last == "nearhub/\(hub)/devices/i1")
        let (publication, _) = play.published[1]
        #expect(publication.isRetained && publication.qos == 1)
        #expect(
            String(decoding: publication.payload, as: UTF8.self) == """
                {"seq":7,"name":"D1","profile":"meters","attributes":{"provisionState":"provisioned"},\
                "credentialsType":"ACCESS_TOKEN",\
                "credentialsIdHash":"c4d1d1dd3a1358bf0bb28319f88a9042df537536df16c489d6d86c71fc55fd4c"}
                """)
        #expect(!String(decoding: publication.payload, as: UTF8.self).contains("token1"))
    }

    @Test func `publishes credentials when it shall`() throws {
        var play = running(withCredentials: true)
        play.take(.device(change(1)))
        #expect(try play.json(1)["credentials"]?["id"]?.text == "token1")
    }

    @Test func `says that a device is gone, then empties its topic, and is done when both are acknowledged`() throws {
        var play = running()
        play.take(.device(farewell(1, seq: 9)))
        #expect(play.topics.dropFirst() == ["nearhub/\(hub)/devices/i1", "nearhub/\(hub)/devices/i1"])
        #expect(String(decoding: play.published[1].publication.payload, as: UTF8.self) == #"{"seq":9,"deleted":true}"#)
        #expect(play.published[2].publication.payload.isEmpty && play.published[2].publication.isRetained)
        let receipt = try #require(play.published[1].receipt)
        play.take(.acknowledged(channel, receipt, code: 0, reason: ""))
        #expect(play.outcomes.isEmpty)
        play.acknowledge(from: 2)
        #expect(play.outcomes == ["i1": .confirmed])
    }

    @Test func `has no more in flight than its window`() {
        var play = running(window: 3)
        for number in 1...3 { play.take(.device(change(number))) }
        #expect(play.dialect.room(at: play.now) == 0)
        play.acknowledge(from: 3)
        #expect(play.dialect.room(at: play.now) == 1)
    }

    @Test(arguments: [
        (UInt8(0), Outcome.confirmed), (0x10, .confirmed), (0x87, .refused(.notAuthorised)), (0x97, .refused(.quota)),
        (0x95, .refused(.quota)), (0x90, .refused(.notAccepted)), (0x80, .refused(.notAccepted)),
    ])
    func `takes the code of PUBACK for what it says`(code: UInt8, outcome: Outcome) {
        var play = running()
        play.take(.device(change(1)))
        play.acknowledge(from: 1, code: code)
        #expect(play.outcomes == ["i1": outcome])
    }

    @Test func `every tenth record is followed by the cursor, and so is a pause`() throws {
        var play = running()
        for number in 1...10 {
            let place = play.published.count
            play.take(.device(change(number)))
            play.acknowledge(from: place)
            play.cursor = UInt64(number)
        }
        #expect(play.topics.filter { $0 == cursorTopic }.count == 1)
        #expect(try play.json(play.published.count - 1)["seq"]?.unsigned == 9)
        let before = play.now
        play.wait()
        #expect(play.now - before == .seconds(1))
        #expect(try play.json(play.published.count - 1)["seq"]?.unsigned == 10)
        play.acknowledge()
        play.wait()
        #expect(play.topics.filter { $0 == cursorTopic }.count == 2)
        #expect(play.dialect.deadline == nil)
    }

    @Test func `corrects a cursor that is beyond its own, as a restored hub finds it`() throws {
        var play = running(cursor: 100)
        play.cursor = 40
        play.wait()
        #expect(play.topics.last == cursorTopic)
        #expect(try play.json(play.published.count - 1)["seq"]?.unsigned == 40)
    }

    @Test func `voids what is in flight when the connection ends, and comes back after a wait`() throws {
        var play = running()
        play.take(.device(change(1)))
        let receipt = try #require(play.published.last?.receipt)
        play.take(loss())
        #expect(play.rewinds == [0, .max])
        #expect(play.links.last == .waiting("gone", until: play.now + .seconds(1)))
        #expect(play.dialect.room(at: play.now) == 0)
        // A late acknowledgement is nobody's.
        play.take(.acknowledged(channel, receipt, code: 0, reason: ""))
        #expect(play.outcomes.isEmpty)
        play.wait()
        #expect(play.introductions.count == 2)
        play.take(.connected(channel))
        play.take(.subscribed(channel, refused: []))
        play.wait()
        #expect(play.dialect.room(at: play.now) == 20)
    }

    @Test func `waits longer after each try that comes to nothing, and not at all when told`() {
        var play = play()
        play.take(.start)
        var waits: [Duration] = []
        for _ in 0..<10 {
            play.take(.disconnected(channel, MQTTLoss(.address, reason: "refused")))
            let before = play.now
            play.wait()
            waits.append(play.now - before)
        }
        #expect(waits.first == .seconds(1) && waits.last == .seconds(150))
        play.take(.disconnected(channel, MQTTLoss(.address, reason: "refused")))
        play.take(.resume)
        #expect(play.introductions.count == 12)
    }

    /// Each hub had the other thrown out every second for ever.
    @Test func `calls less and less often while another client takes its place, even one that gets on`() {
        var play = running()
        var waits: [Duration] = []
        for number in 1...5 {
            play.take(.device(change(number)))
            play.acknowledge(from: play.published.count - 1)
            play.take(loss("taken over", .takenOver))
            waits.append((play.dialect.deadline ?? .zero) - play.now)
            play.wait()
            play.take(.connected(channel))
            play.take(.subscribed(channel, refused: []))
            play.take(.message(channel, MQTTMessage(cursorTopic, #"{"seq":0}"#)))
        }
        #expect(waits == [1, 2, 4, 8, 16].map(Duration.seconds))
        // A connection that lasts ends that.
        play.now += .seconds(60)
        play.take(loss())
        #expect(play.dialect.deadline == play.now + .seconds(1))
    }

    @Test func `asks for another client of its id after three losses in a minute`() {
        var play = running()
        for _ in 0..<3 {
            play.take(loss())
            play.wait()
            play.take(.connected(channel))
        }
        guard case .waiting(let reason, _)? = play.links.last(where: { if case .waiting = $0 { true } else { false } })
        else {
            Issue.record("no wait")
            return
        }
        #expect(reason.contains("another client") && reason.contains("nearhub-0123456789abcdef"))
    }

    @Test func `gives up a connection on which the cursor is refused`() throws {
        var play = running()
        for number in 1...10 {
            play.take(.device(change(number)))
            play.cursor = UInt64(number - 1)
        }
        #expect(play.topics.last == cursorTopic)
        play.acknowledge(from: play.published.count - 1, code: 0x87)
        #expect(play.drops == 1)
        guard case .waiting(let reason, _)? = play.links.last else {
            Issue.record("no wait")
            return
        }
        #expect(reason.contains("cursor"))
    }

    /// Such a link was up for ever, and nothing went over it.
    @Test func `leaves a broker that acknowledges nothing for a minute, and says so`() throws {
        var play = running()
        play.take(.device(change(1)))
        play.now += .seconds(40)
        play.take(.device(change(2)))
        play.acknowledge(from: 2)
        let before = play.now
        while play.drops == 0, play.now - before < .seconds(300) { play.wait() }
        #expect(play.now - before == .seconds(60))
        #expect(play.outcomes == ["i2": .confirmed] && play.rewinds.last == .max)
        guard case .waiting(let reason, _)? = play.links.last else {
            Issue.record("no wait")
            return
        }
        #expect(reason.contains("acknowledged nothing"))
        // It is called less and less often, and that it lets the hub in is no news.
        var waits: [Duration] = []
        for _ in 0..<4 {
            let before = play.now
            play.wait()
            waits.append(play.now - before)
            play.take(.connected(channel))
            play.take(.subscribed(channel, refused: []))
            play.take(.message(channel, MQTTMessage(cursorTopic, #"{"seq":0}"#)))
            play.take(.device(change(1)))
            while case .running = play.dialect.phase { play.wait() }
        }
        #expect(waits == [1, 2, 4, 8].map(Duration.seconds))
        #expect(play.links.filter { $0 == .connected }.count == 1)
        play.wait()
        play.take(.connected(channel))
        play.take(.subscribed(channel, refused: []))
        play.take(.message(channel, MQTTMessage(cursorTopic, #"{"seq":0}"#)))
        play.take(.device(change(1)))
        play.acknowledge(from: play.published.count - 1)
        #expect(play.links.last == .connected && play.outcomes["i1"] == .confirmed)
    }

    // MARK: - What the broker has and the hub has not

    private let ghost = "01234567-89ab-cdef-0123-456789abcdef"

    private func record(_ device: String) -> Input {
        .message(channel, MQTTMessage("nearhub/\(hub)/devices/\(device)", #"{"seq":1}"#))
    }

    /// The line of such a device may be gone from the log: nobody would ever say again that it has ended.
    @Test func `looks at all that a broker keeps which has forgotten that a device ended`() throws {
        var play = play()
        (play.ended, play.cursor) = (30, 20)
        play.take(.start)
        play.take(.connected(channel))
        play.take(.subscribed(channel, refused: []))
        play.take(.message(channel, MQTTMessage(cursorTopic, #"{"seq":20}"#)))
        #expect(play.rewinds.isEmpty && play.drops == 1)
        #expect(play.introductions.map(\.subscriptions.count) == [1, 2])
        #expect(play.introductions.last?.subscriptions.last == "nearhub/\(hub)/devices/+")
        play.take(.connected(channel))
        play.take(.subscribed(channel, refused: []))
        #expect(play.rewinds == [20] && play.dialect.room(at: play.now) == 20)
        play.take(record(ghost))
        play.take(record("short"))
        play.take(.message(channel, MQTTMessage("nearhub/\(hub)/devices/\(ghost)", "")))
        #expect(play.examined == [Text(ghost)])
        // A link that breaks before the broker has sent all is made again, and all is looked at again.
        play.take(loss())
        play.wait()
        #expect(play.introductions.last?.subscriptions.count == 2)
        play.take(.connected(channel))
        play.take(.subscribed(channel, refused: []))
        let before = play.now
        while play.dialect.deadline != nil { play.wait() }
        #expect(play.now - before == .seconds(10))
        play.take(record(ghost))
        #expect(play.examined.count == 1)
        play.take(loss())
        play.wait()
        #expect(play.introductions.last?.subscriptions.count == 1)
    }

    /// A hub that was killed then held the broker to know of them.
    @Test func `publishes no cursor while the broker may have devices that have ended`() throws {
        var play = play()
        (play.ended, play.cursor) = (30, 20)
        play.take(.start)
        for _ in 0..<2 {
            play.take(.connected(channel))
            play.take(.subscribed(channel, refused: []))
            play.take(.message(channel, MQTTMessage(cursorTopic, #"{"seq":20}"#)))
        }
        play.cursor = 40
        play.wait()
        play.take(record(ghost))
        play.hasGhosts = true
        while play.dialect.deadline != nil { play.wait() }
        #expect(play.examined.count == 1 && !play.topics.contains(cursorTopic))
        play.take(.device(farewell(1, seq: 40)))
        play.acknowledge(from: play.published.count - 2)
        play.hasGhosts = false
        play.wait()
        #expect(try play.topics.last == cursorTopic && play.json(play.published.count - 1)["seq"]?.unsigned == 40)
    }

    @Test func `looks at nothing where the broker knows of every device that has ended, or keeps it to itself`() {
        var play = running(cursor: 20)
        play.ended = 20
        play.take(record(ghost))
        #expect(play.examined.isEmpty && play.introductions.count == 1)
        play = self.play()
        play.ended = 30
        play.take(.start)
        play.take(.connected(channel))
        play.take(.subscribed(channel, refused: []))
        play.wait()
        play.take(.connected(channel))
        play.take(.subscribed(channel, refused: [("nearhub/\(hub)/devices/+", "Not authorized")]))
        #expect(play.rewinds == [0] && play.dialect.room(at: play.now) == 20)
        play.take(record(ghost))
        #expect(play.examined.isEmpty)
    }

    @Test func `says goodbye when the hub stops, and does nothing afterwards`() throws {
        var play = running()
        play.take(.stop)
        #expect(try play.json(play.published.count - 1)["online"]?.bool == false)
    }
}
