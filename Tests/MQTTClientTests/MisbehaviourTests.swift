import EventLoop
import Glibc
import Testing

@testable import MQTTClient

@Suite("MQTT client at a broker that misbehaves")
struct MisbehaviourTests {
    private static let accepted = ScriptedBroker.acknowledgement(0)

    @Test func `a refused subscription is told, and leads to another try`() throws {
        let broker = try ScriptedBroker([Self.accepted, [0x90, 3, 0, 1, 0x80]])
        let recorder = try Recorder(port: broker.port, .v311)
        try recorder.wait("no answer") { !$0.losses.isEmpty }
        #expect(recorder.refusals == [["t/+"]])
        #expect(recorder.losses[0].kind == .denied)
        try recorder.waitForSubscriptions(2)
    }

    @Test func `one granted subscription of two keeps the connection`() throws {
        let broker = try ScriptedBroker([Self.accepted, [0x90, 4, 0, 1, 0x80, 0x01]])
        let recorder = try Recorder(port: broker.port, .v311, ["t", "t/+"])
        try recorder.waitForSubscriptions()
        #expect(recorder.refusals == [["t"]])
        try recorder.turn(for: .milliseconds(200))
        #expect(recorder.losses.isEmpty)
    }

    @Test func `a SUBACK that is too short refuses what it leaves out`() throws {
        let broker = try ScriptedBroker([Self.accepted, [0x90, 3, 0, 1, 0x01]])
        let recorder = try Recorder(port: broker.port, .v311, ["t", "t/+"])
        try recorder.waitForSubscriptions()
        #expect(recorder.refusals == [["t/+"]])
    }

    @Test func `a SUBACK counts once, and only for the one SUBSCRIBE`() throws {
        let granted: [UInt8] = [0x90, 3, 0, 1, 0x01]
        let foreign = Array(repeating: [0x90, 3, 0, 7, 0x80] as [UInt8], count: 500).flatMap(\.self)
        let again = Array(repeating: granted, count: 500).flatMap(\.self)
        let broker = try ScriptedBroker([Self.accepted, foreign + granted + foreign + again])
        let recorder = try Recorder(port: broker.port, .v311)
        try recorder.waitForSubscriptions()
        try recorder.turn(for: .milliseconds(300))
        #expect(recorder.refusals == [[]])
        #expect(recorder.losses.isEmpty)
    }

    @Test func `a second CONNACK ends the connection`() throws {
        let broker = try ScriptedBroker([Array(repeating: Self.accepted, count: 500).flatMap(\.self)])
        let recorder = try Recorder(port: broker.port, .v311)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0] == MQTTLoss(.other, wasAccepted: true, reason: "the broker sent CONNACK twice"))
    }

    @Test func `the socket is closed before the wait for the next try`() throws {
        let broker = try ScriptedBroker([Self.accepted, [0x90, 3, 0, 1, 0x80]])
        let recorder = try Recorder(port: broker.port, .v311)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        let end = Duration.monotonic + .milliseconds(500)
        while broker.ended == 0, .monotonic < end { usleep(5000) }
        #expect(broker.ended == 1)
    }

    @Test func `what waits for its acknowledgement or for the socket has failed with the connection`() throws {
        let broker = try Broker()
        let recorder = try Recorder(port: broker.port, .v5, [])
        try recorder.waitForSubscriptions()
        broker.send(SIGSTOP)
        var taken: [UInt64] = []
        for number in 0..<3000 {
            let payload = [UInt8](repeating: 1, count: 5000)
            let publication = MQTTPublication(topic: "t", payload: payload, qos: number == 0 ? 1 : 0)
            if let id = try recorder.client.publish(publication) { taken.append(id) }
            if number % 100 == 0 { usleep(5000) }
        }
        broker.end(SIGKILL)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(taken.count == 3000)
        #expect(recorder.failed.contains(taken[0]))
        // The socket had taken some megabytes at most.
        #expect(Set(recorder.failed).count == recorder.failed.count)
        #expect(recorder.failed.contains(taken[2999]))
        #expect(recorder.failed.count > 500)
    }

    @Test func `bytes that are not MQTT end the connection`() throws {
        let line = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n"
        let broker = try ScriptedBroker([Array(line.utf8)])
        let recorder = try Recorder(port: broker.port)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].kind == .unreachable)
    }

    @Test func `a broker that knows only MQTT 3.1.1 is told from one that is away`() throws {
        let broker = try ScriptedBroker([ScriptedBroker.acknowledgement(1)])
        let recorder = try Recorder(port: broker.port)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].kind == .refused)
        #expect(recorder.losses[0].reason.lowercased().contains("protocol version"))
    }

    @Test func `what DISCONNECT says is told`() throws {
        let disconnect: [UInt8] = [0xE0, 2, 0x8E, 0]
        let broker = try ScriptedBroker([[0x20, 3, 0, 0, 0], [0x90, 4, 0, 1, 0, 1] + disconnect])
        let recorder = try Recorder(port: broker.port)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].cause == .takenOver)
        #expect(recorder.losses[0].reason == "the broker says: Session taken over")
    }

    @Test func `a login prints nothing of itself`() {
        let login = MQTTLogin(username: "hub", password: "canary")
        #expect("\(login)" == "***")
    }
}

@Suite("Waiting between tries")
struct BackOffTests {
    @Test func `waits grow from one second to thirty, and are never all the same`() {
        var random = SystemRandomNumberGenerator()
        var backOff = BackOff(longest: .seconds(30))
        for ceiling in [2, 4, 8, 16, 30, 30, 30] {
            let wait = backOff.next(using: &random)
            #expect(wait >= .milliseconds(ceiling * 500) && wait <= .seconds(ceiling))
        }
        backOff.reset()
        #expect(backOff.next(using: &random) <= .seconds(2))
        #expect(Set((0..<20).map { _ in backOff.next(using: &random) }).count > 1)
    }
}

@Suite("Queues between the threads")
struct LinkTests {
    private func message(_ size: Int) -> MQTTEvent {
        .message(
            MQTTMessage(
                topic: "", payload: Array(repeating: 0, count: size), qos: 0, isRetained: false, responseTopic: nil,
                correlationData: nil))
    }

    @Test func `the inbox is full after 1,024 messages or 4 MiB`() throws {
        let link = try Link()
        for _ in 0..<1023 { link.post(message(1)) }
        #expect(link.hasRoom())
        link.post(message(1))
        #expect(!link.hasRoom())
        #expect(link.takeEvents().count == 1024)
        #expect(link.hasRoom())
        for _ in 0..<64 { link.post(message(65_536)) }
        #expect(!link.hasRoom())
    }

    @Test func `the outbox takes nothing without a connection, and what it has fails with it`() throws {
        let link = try Link()
        let publication = MQTTPublication(topic: "t", payload: [])
        #expect(link.publish(publication) == nil)
        link.setConnected(true)
        var ids: [UInt64] = []
        while let id = link.publish(publication) { ids.append(id) }
        #expect(ids.count == 4096)
        link.setConnected(false)
        #expect(link.takeOutgoing().isEmpty)
        #expect(link.takeEvents().compactMap { if case .failed(let id, _, _) = $0 { id } else { nil } } == ids)
    }

    @Test func `the outbox takes 16 MiB`() throws {
        let link = try Link()
        link.setConnected(true)
        let publication = MQTTPublication(topic: "", payload: Array(repeating: 0, count: 65_536))
        for _ in 0..<256 { #expect(link.publish(publication) != nil) }
        #expect(link.publish(publication) == nil)
    }
}
