import EventLoop
import Glibc
import Testing

@testable import MQTTClient

@Suite("MQTT client: how publications and connections end")
struct LinkOutcomeTests {
    private func options(_ port: UInt16, id: String = "hub", host: String = "127.0.0.1") -> MQTTOptions {
        MQTTOptions(host: host, port: port, clientId: id, subscriptions: [])
    }

    /// A broker that lets nobody write but on `open/#`.
    private func strictBroker() throws -> (Broker, String) {
        let path = "/tmp/nearhub-test-acl-\(getpid())-\(UInt32.random(in: .min ... .max))"
        let rules = "topic read #\ntopic readwrite open/#\n"
        let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o644)
        #expect(fchmod(file.raw, 0o644) == 0)
        #expect(unsafe write(file.raw, rules, rules.utf8.count) == rules.utf8.count)
        // Without a bound Mosquitto 2.0.11 closes the connection after a PUBLISH that it has denied.
        return (try Broker(["acl_file \(path)", "max_queued_messages 1000"]), path)
    }

    @Test func `a forbidden publication is told with its code, by MQTT 5 only`() throws {
        let (broker, path) = try strictBroker()
        defer { unsafe unlink(path) }
        let modern = try Recorder(port: broker.port)
        try modern.waitForSubscriptions()
        let id = try modern.client.publish(MQTTPublication(topic: "closed", payload: [1], qos: 1))
        try modern.client.publish(MQTTPublication(topic: "open/a", payload: [1], qos: 1))
        try modern.wait("no PUBACK") { $0.codes.count == 2 }
        // Nobody subscribes to open/a.
        #expect(modern.codes == [0x87, 0x10])
        #expect(modern.failed == [id])
        let old = try Recorder(port: broker.port, .v311, id: "old")
        try old.waitForSubscriptions()
        try old.client.publish(MQTTPublication(topic: "closed", payload: [1], qos: 1))
        try old.wait("no PUBACK") { $0.codes == [0] }
    }

    @Test func `a window of 100 is in flight at once`() throws {
        let broker = try Broker(["max_inflight_messages 0"])
        var options = options(broker.port)
        options.inFlight = 100
        let recorder = try Recorder(options)
        try recorder.waitForSubscriptions()
        broker.send(SIGSTOP)
        for _ in 0..<100 { try recorder.client.publish(MQTTPublication(topic: "t", payload: [1], qos: 1)) }
        usleep(200_000)
        broker.send(SIGCONT)
        try recorder.wait("no PUBACK") { $0.acknowledged.count == 100 }
        #expect(recorder.acknowledged == recorder.acknowledged.sorted())
    }

    @Test(arguments: [MQTTOptions.Version.v5, .v311])
    func `the will of who is taken over is published; Mosquitto 2_0 says no more`(version: MQTTOptions.Version) throws {
        let broker = try Broker()
        let witness = try Recorder(port: broker.port, id: "witness")
        try witness.waitForSubscriptions()
        var options = options(broker.port)
        options.version = version
        options.longestWait = nil
        options.will = MQTTPublication(topic: "t/will", payload: [9], qos: 1)
        options.will?.isRetained = true
        let first = try Recorder(options)
        try first.waitForSubscriptions()
        options.will = nil
        let second = try Recorder(options)
        try second.waitForSubscriptions()
        try first.wait("no loss") { !$0.losses.isEmpty }
        #expect(first.losses[0].kind == .lost)
        #expect(first.losses[0].cause == .closed)
        try witness.wait("no will") { !$0.messages.isEmpty }
        #expect(witness.messages[0].payload == [9])
        let late = try Recorder(port: broker.port, id: "late")
        try late.wait("no will") { !$0.messages.isEmpty }
        #expect(late.messages[0].isRetained)
    }

    @Test func `a client that is to try once tries once`() throws {
        var options = options(try freePort())
        options.longestWait = nil
        let recorder = try Recorder(options)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        try recorder.turn(for: .seconds(3))
        #expect(recorder.losses == [MQTTLoss(.address, reason: "Connection refused")])
        #expect(recorder.events.count == 2)
    }

    @Test func `a host that is not there is told from a port where nobody listens`() throws {
        let recorder = try Recorder(options(1883, host: "nowhere.invalid"))
        try recorder.wait(seconds: 60, "no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].cause == .name)
    }

    @Test func `a broker that ends without a word has closed the connection`() throws {
        let broker = try Broker()
        let recorder = try Recorder(options(broker.port))
        try recorder.waitForSubscriptions()
        broker.end(SIGKILL)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].cause == .closed)
        #expect(recorder.losses[0].kind == .lost)
    }

    @Test func `a broker that falls silent is noticed by keep-alive`() throws {
        let broker = try Broker()
        var options = options(broker.port)
        options.keepAlive = 5
        let recorder = try Recorder(options)
        try recorder.waitForSubscriptions()
        broker.send(SIGSTOP)
        defer { broker.send(SIGCONT) }
        try recorder.wait(seconds: 20, "no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].cause == .silence)
        #expect(recorder.losses[0].kind == .lost)
    }

    @Test func `a broker that does not answer CONNECT is given up`() throws {
        let broker = try ScriptedBroker([])
        var options = options(broker.port)
        options.patience = .milliseconds(300)
        let recorder = try Recorder(options)
        try recorder.wait(seconds: 5, "no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0] == MQTTLoss(.silence, reason: "the broker does not answer CONNECT"))
    }

    @Test func `a call that hangs holds nobody up`() throws {
        // Nobody accepts, and the queue of those who wait is full: SYN gets no answer.
        let listening = FileDescriptor(owning: try system("socket") { socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0) })
        let port = try bind(listening, listens: false)
        try #require(listen(listening.raw, 0) == 0)
        var queued: [Recorder] = []
        for number in 0..<4 {
            queued.append(try Recorder(options(port, id: "hub-\(number)")))
            usleep(100_000)
        }
        try queued[3].turn(for: .milliseconds(300))
        #expect(queued[3].events.count == 1)
        let begun = Duration.monotonic
        try queued[3].client.stop(within: .seconds(5))
        #expect(.monotonic - begun < .milliseconds(200))
    }
}
