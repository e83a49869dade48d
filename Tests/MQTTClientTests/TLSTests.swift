import EventLoop
import Glibc
import Testing

@testable import MQTTClient

@Suite("MQTT client by TLS")
struct TLSTests {
    private func options(_ port: UInt16, caFile: String?, host: String = "127.0.0.1") -> MQTTOptions {
        var options = MQTTOptions(host: host, port: port, clientId: "tls", subscriptions: ["t/+"])
        options.tls = MQTTTLS(caFile: caFile)
        return options
    }

    /// How the first connection to a broker with the certificate ends.
    private func loss(
        _ certificates: Certificates, for names: String = "IP:127.0.0.1,DNS:localhost", days: Int = 2, caFile: String?,
        host: String = "127.0.0.1"
    ) throws -> MQTTLoss {
        let broker = try Broker(certificates.issue(for: names, days: days))
        let recorder = try Recorder(options(broker.port, caFile: caFile, host: host))
        try recorder.wait("no loss") { !$0.losses.isEmpty || !$0.refusals.isEmpty }
        return try #require(recorder.losses.first)
    }

    @Test(arguments: ["127.0.0.1", "localhost"])
    func `a broker whose certificate is right is used, whether by name or by address`(host: String) throws {
        let certificates = try Certificates("right-\(host)")
        let broker = try Broker(certificates.issue())
        let recorder = try Recorder(options(broker.port, caFile: certificates.caFile, host: host))
        try recorder.waitForSubscriptions()
        let id = try recorder.client.publish(MQTTPublication(topic: "t/a", payload: [1, 0, 2], qos: 1))
        try recorder.wait("no message") { $0.acknowledged == [id] && $0.messages.count == 1 }
        #expect(recorder.messages[0].payload == [1, 0, 2])
        #expect(recorder.losses.isEmpty)
    }

    @Test func `what TLS has decrypted already is read, also after a pause`() throws {
        let certificates = try Certificates("pending")
        let broker = try Broker(certificates.issue() + ["max_inflight_messages 0"])
        let recorder = try Recorder(options(broker.port, caFile: certificates.caFile))
        try recorder.waitForSubscriptions()
        try recorder.client.isPaused = true
        for number in 0..<3000 {
            try recorder.client.publish(
                MQTTPublication(topic: "t/\(number)", payload: [UInt8](repeating: 7, count: 40)))
        }
        try recorder.turn(for: .milliseconds(300))
        #expect(recorder.messages.count <= 64)
        try recorder.client.isPaused = false
        try recorder.wait("messages are missing") { $0.messages.count == 3000 }
        #expect(recorder.messages.map(\.topic) == (0..<3000).map { "t/\($0)" })
    }

    @Test func `what a broker takes late arrives all the same`() throws {
        let certificates = try Certificates("late")
        let broker = try Broker(certificates.issue() + ["max_inflight_messages 0"])
        var options = options(broker.port, caFile: certificates.caFile)
        options.subscriptions = []
        options.inFlight = 100
        let recorder = try Recorder(options)
        try recorder.waitForSubscriptions()
        broker.send(SIGSTOP)
        for number in 0..<500 {
            let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 20_000)
            try recorder.client.publish(MQTTPublication(topic: "t/\(number)", payload: payload, qos: 1))
        }
        try recorder.turn(for: .milliseconds(300))
        broker.send(SIGCONT)
        try recorder.wait("not acknowledged") { $0.acknowledged.count == 500 }
        #expect(recorder.acknowledged == recorder.acknowledged.sorted())
        #expect(recorder.losses.isEmpty)
    }

    @Test func `a certificate of another authority is refused`() throws {
        let (theirs, ours) = try (Certificates("theirs"), Certificates("ours"))
        let loss = try loss(theirs, caFile: ours.caFile)
        #expect(loss.cause == .tls)
        #expect(loss.kind == .unreachable)
        #expect(loss.reason.contains("unable to get local issuer certificate"), "\(loss.reason)")
    }

    @Test func `the system's authorities do not vouch for it`() throws {
        let loss = try loss(Certificates("unknown"), caFile: nil)
        #expect(loss.cause == .tls)
        #expect(loss.reason.contains("local issuer"), "\(loss.reason)")
    }

    @Test(arguments: [
        ("DNS:elsewhere.example", "127.0.0.1"), ("IP:127.0.0.1", "localhost"), ("DNS:l*.example", "localhost"),
    ])
    func `a certificate for another name is refused`(names: String, host: String) throws {
        let certificates = try Certificates("names-\(names.utf8.count)-\(host)")
        let loss = try loss(certificates, for: names, caFile: certificates.caFile, host: host)
        #expect(loss.cause == .tls)
        #expect(loss.reason.lowercased().contains("mismatch"), "\(loss.reason)")
    }

    @Test func `a certificate that has expired is refused`() throws {
        let certificates = try Certificates("expired")
        let loss = try loss(certificates, days: -1, caFile: certificates.caFile)
        #expect(
            loss
                == MQTTLoss(
                    .tls, reason: "TLS: certificate has expired; check ca-file, the name in url, and the clock"))
    }

    @Test func `a server that speaks TLS 1_1 only is refused`() throws {
        let certificates = try Certificates("old")
        _ = try certificates.issue()
        let port = try freePort()
        let server = try certificates.serve("-tls1_1 -cipher ALL:@SECLEVEL=0", port: port)
        defer {
            var status: CInt = 0
            kill(server, SIGKILL)
            unsafe waitpid(server, &status, 0)
        }
        let end = Duration.monotonic + .seconds(10)
        while !accepts(port) {
            try #require(.monotonic < end, "openssl does not listen")
            usleep(10_000)
        }
        let recorder = try Recorder(options(port, caFile: certificates.caFile))
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].cause == .tls)
        #expect(recorder.losses[0].reason.contains("protocol"), "\(recorder.losses[0].reason)")
    }

    @Test(arguments: ["missing", "empty", "garbage"])
    func `without certificates to check by nobody is called, least of all in clear`(flaw: String) throws {
        let path = "/tmp/nearhub-test-flawed-ca-\(getpid())-\(flaw)"
        defer { unsafe unlink(path) }
        if flaw != "missing" {
            let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT, mode: 0o644)
            if flaw == "garbage" { #expect(unsafe write(file.raw, "garbage\n", 8) == 8) }
        }
        let broker = try ScriptedBroker([ScriptedBroker.acknowledgement(0)])
        var options = options(broker.port, caFile: path)
        #expect(throws: MQTTTLSError.self) { try MQTTTLS(caFile: path).check() }
        options.longestWait = nil
        options.login = MQTTLogin(username: "canary", password: "canary")
        let recorder = try Recorder(options)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].cause == .tls)
        #expect(recorder.losses[0].reason.contains(path), "\(recorder.losses[0].reason)")
        try recorder.turn(for: .milliseconds(200))
        #expect(broker.accepted == 0)
    }

    @Test func `a broker without TLS gets no CONNECT`() throws {
        let broker = try ScriptedBroker([Array(repeating: ScriptedBroker.acknowledgement(0), count: 9).flatMap(\.self)])
        var options = options(broker.port, caFile: nil)
        options.login = MQTTLogin(username: "canary", password: "canary")
        let recorder = try Recorder(options)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(
            recorder.losses[0]
                == MQTTLoss(
                    .tls, reason: "TLS: wrong version number; check url: its port may be one without TLS"))
        #expect(broker.received.first == 22)
        #expect(!String(decoding: broker.received, as: UTF8.self).contains("canary"))
    }

    @Test func `a listener with TLS is told from one that is away by a client without`() throws {
        let certificates = try Certificates("plain")
        let broker = try Broker(certificates.issue())
        let recorder = try Recorder(port: broker.port)
        try recorder.wait("no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].cause == .closed)
    }

    @Test func `a server that never answers the handshake is given up`() throws {
        let broker = try ScriptedBroker([])
        var options = options(broker.port, caFile: nil)
        options.patience = .milliseconds(300)
        let recorder = try Recorder(options)
        try recorder.wait(seconds: 5, "no loss") { !$0.losses.isEmpty }
        #expect(recorder.losses[0].cause == .silence)
    }

    @Test func `the system's certificates can be read`() throws {
        try MQTTTLS().check()
    }
}
