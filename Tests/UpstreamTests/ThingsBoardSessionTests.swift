import JSON
import MQTTClient
import Provisioning
import Testing
import Upstream

@Suite("Dialect thingsboard: sessions")
struct ThingsBoardSessionTests {
    @Test func `the hub connects as the user provision, and asks without waiting for SUBACK`() throws {
        let play = ThingsBoardPlay()
        let introduction = try #require(play.connections[Channel(0)]?.introduction)
        #expect(introduction.clientId == "nearhub-0123456789abcdef-0")
        #expect(introduction.login?.username == "provision")
        #expect(introduction.version == .v311)
        #expect(introduction.subscriptions == ["/provision/response"])
        #expect(play.state == .connecting && play.room == 0)
        play.tell(.connected(Channel(0)))
        #expect(play.state == .connected && play.room > 0)
        play.offer("a")
        #expect(play.published == 1)
    }

    @Test func `one request is in flight, and the next goes when its answer has come`() throws {
        let play = ThingsBoardPlay.connected()
        for name in ["a", "b", "c"] { play.offer(name) }
        #expect(play.published == 1)
        try play.acknowledge()
        // PUBACK is no answer.
        #expect(play.published == 1 && play.outcomes.isEmpty)
        try play.confirm()
        #expect(play.published == 2 && play.outcomes == ["a": .confirmed])
        try play.confirm()
        try play.confirm()
        #expect(play.outcomes == ["a": .confirmed, "b": .confirmed, "c": .confirmed])
    }

    @Test func `there is room for a few devices to each session, and none without a connection`() throws {
        let play = ThingsBoardPlay.connected()
        var count = 0
        while play.room > 0, count < 100 {
            play.offer("d\(count)")
            count += 1
        }
        #expect(count == 4)
        play.lose()
        #expect(play.room == 0)
    }

    @Test func `devices are spread over sessions, each device always on the same`() throws {
        func channels(_ numbers: some Sequence<Int>) throws -> [String: Channel] {
            let play = ThingsBoardPlay { $0.sessions = 4 }
            play.testChannel = Channel(4)
            play.tell(.connected(Channel(0)))
            var channels: [String: Channel] = [:]
            for number in numbers {
                play.offer("d\(number)")
                for channel in play.connections.keys where play.connections[channel]?.isUp == false {
                    play.tell(.connected(channel))
                }
                let channel = try #require(play.requests.keys.first)
                #expect(play.requests.count == 1)
                channels["d\(number)"] = channel
                try play.confirm(channel)
            }
            return channels
        }
        let first = try channels(0..<40)
        #expect(Set(first.values).count == 4)
        #expect(try channels((0..<40).reversed()) == first)
    }

    @Test func `a session is left before 50 s are over, between two requests, and nobody hears of it`() throws {
        let play = ThingsBoardPlay.connected()
        var reports = 0
        for number in 0..<30 {
            play.offer("d\(number)")
            try play.confirm()
            if play.connections[Channel(0)]?.isUp == false { play.tell(.connected(Channel(0))) }
            let before = play.actions.count
            play.pass(.seconds(4))
            if play.connections[Channel(0)]?.isUp == false { play.tell(.connected(Channel(0))) }
            reports += play.actions[before...].filter { if case .report = $0 { true } else { false } }.count
        }
        #expect(reports == 0 && play.state == .connected)
        let connects = play.actions.filter { if case .connect = $0 { true } else { false } }.count
        #expect(connects == 3)
        #expect(play.outcomes.count == 30)
    }

    @Test func `a request that waits at the end of a session is answered first`() throws {
        let play = ThingsBoardPlay.connected()
        play.offer("a")
        try play.confirm()
        play.pass(.seconds(44))
        play.offer("b")
        play.pass(.seconds(3))
        #expect(play.connections[Channel(0)]?.isUp == true)
        try play.confirm()
        #expect(play.outcomes["b"] == .confirmed)
        #expect(play.connections[Channel(0)]?.isUp == false)
    }

    @Test func `the first session stays without work, others end`() throws {
        let play = ThingsBoardPlay { $0.sessions = 2 }
        play.testChannel = Channel(2)
        play.tell(.connected(Channel(0)))
        for number in 0..<8 where play.connections[Channel(1)] == nil { play.offer("d\(number)") }
        play.tell(.connected(Channel(1)))
        while let channel = play.requests.keys.first { try play.confirm(channel) }
        play.pass(.seconds(20))
        #expect(play.connections[Channel(1)]?.isOpen == false)
        #expect(play.connections[Channel(0)]?.isOpen == true)
    }

    @Test func `a server that closes after an answer is called again at once`() throws {
        let play = ThingsBoardPlay.connected()
        play.offer("a")
        try play.confirm()
        play.lose()
        #expect(play.connections[Channel(0)]?.isOpen == true)
        #expect(play.state == .connected)
        // It counts as working only for a few seconds.
        play.pass(.seconds(6))
        #expect(play.state == .connecting)
    }

    @Test func `a server that is away is called at growing intervals, and however many sessions fail, once`() throws {
        let play = ThingsBoardPlay()
        var waits: [Duration] = []
        for _ in 0..<14 {
            play.lose(Channel(0), .address)
            guard case .waiting("lost", let until) = play.state else { return #expect(Bool(false), "not waiting") }
            waits.append(until - play.now)
            play.pass(until - play.now)
            #expect(play.state == .connecting)
        }
        #expect(waits == waits.sorted() && waits.first == .milliseconds(1500))
        #expect(waits.last.map { $0 >= .seconds(150) && $0 <= .seconds(300) } == true)
        play.tell(.connected(Channel(0)))
        #expect(play.state == .connected)
    }

    @Test func `a server that lets the hub in and throws it out is not hammered`() throws {
        let play = ThingsBoardPlay()
        var longest = Duration.zero
        for _ in 0..<10 {
            play.tell(.connected(Channel(0)))
            play.lose()
            guard case .waiting(_, let until) = play.state else { return #expect(Bool(false), "not waiting") }
            longest = until - play.now
            play.pass(longest)
        }
        #expect(longest > .seconds(60))
    }

    @Test func `an administrator shortens the wait`() throws {
        let play = ThingsBoardPlay()
        play.lose(Channel(0), .name)
        #expect(play.connections[Channel(0)]?.isOpen == false)
        play.tell(.resume)
        #expect(play.connections[Channel(0)]?.isOpen == true)
    }

    @Test func `no more devices a second than allowed`() throws {
        let play = ThingsBoardPlay.connected { $0.rate = 5 }
        let begun = play.now
        for number in 0..<20 {
            play.offer("d\(number)")
            while play.requests.isEmpty { play.pass(.milliseconds(10)) }
            try play.confirm()
        }
        let took = play.now - begun
        #expect(took >= .milliseconds(3700) && took <= .milliseconds(4100), "\(took)")
    }

    @Test func `a hub that stops asks for nothing more`() {
        let play = ThingsBoardPlay.connected()
        play.tell(.stop)
        #expect(play.room == 0 && play.deadline == nil)
        play.lose()
        #expect(play.connections[Channel(0)]?.isOpen == false)
    }
}
