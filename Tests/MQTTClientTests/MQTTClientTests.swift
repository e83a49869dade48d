import EventLoop
import Glibc
import Testing

@testable import MQTTClient

@Suite("MQTT client at a real broker")
struct MQTTClientTests {
    @Test(arguments: [MQTTOptions.Version.v5, .v311])
    func `it connects, subscribes, and hears what it publishes`(version: MQTTOptions.Version) throws {
        let broker = try Broker()
        let recorder = try Recorder(port: broker.port, version)
        #expect(try recorder.client.publish(MQTTPublication(topic: "t/a", payload: [1])) == nil)
        try recorder.waitForSubscriptions()
        #expect(recorder.refusals == [[]])
        let id = try recorder.client.publish(MQTTPublication(topic: "t/a", payload: [1, 0, 2], qos: 1))
        try recorder.wait("not acknowledged") { $0.acknowledged == [id] }
        try recorder.wait("no message") { $0.messages.count == 1 }
        let message = try #require(recorder.messages.first)
        #expect(message.topic == "t/a")
        #expect(message.payload == [1, 0, 2])
        #expect(!message.isRetained)
        #expect(message.responseTopic == nil)
    }

    @Test func `response topic and correlation data arrive, and the latter goes out`() throws {
        let broker = try Broker()
        let recorder = try Recorder(port: broker.port)
        try recorder.waitForSubscriptions()
        try broker.publish(
            "-V", "5", "-t", "t/q", "-m", "?", "-D", "publish", "response-topic", "t/ą", "-D", "publish",
            "correlation-data", "c 1")
        try recorder.wait("no message") { $0.messages.count == 1 }
        let request = try #require(recorder.messages.first)
        #expect(request.responseTopic == "t/ą")
        #expect(request.correlationData == Array("c 1".utf8))
        var answer = MQTTPublication(topic: "t/ą", payload: [2])
        answer.correlationData = [0, 255]
        answer.expiry = 60
        try recorder.client.publish(answer)
        try recorder.wait("no answer") { $0.messages.count == 2 }
        #expect(recorder.messages[1].correlationData == [0, 255])
    }

    @Test func `what the broker had kept is marked as retained`() throws {
        let broker = try Broker()
        try broker.publish("-t", "t/r", "-m", "old", "-r")
        let recorder = try Recorder(port: broker.port)
        try recorder.wait("no message") { $0.messages.count == 1 }
        #expect(recorder.messages[0].isRetained)
    }

    @Test func `a broker that is away at first is found, and found again, and subscribed to again`() throws {
        let broker = try Broker(starts: false)
        let recorder = try Recorder(port: broker.port)
        try recorder.wait("no failure") { !$0.losses.isEmpty }
        #expect(recorder.losses[0] == MQTTLoss(.address, reason: "Connection refused"))
        try broker.start()
        try recorder.waitForSubscriptions(1)
        broker.end(SIGKILL)
        try recorder.wait("no loss") { $0.losses.contains { $0.kind == .lost } }
        try broker.start()
        try recorder.waitForSubscriptions(2)
        try recorder.client.publish(MQTTPublication(topic: "t/a", payload: []))
        try recorder.wait("no message") { $0.messages.count == 1 }
    }

    @Test(arguments: [
        (MQTTOptions.Version.v5, UInt8(0x87), "Not authorized"), (.v311, 5, "Connection Refused: not authorised"),
    ])
    func `a refusal is told with the broker's reason`(
        version: MQTTOptions.Version, code: UInt8, reason: String
    ) throws {
        let broker = try Broker(allowsAnonymous: false)
        let recorder = try Recorder(port: broker.port, version)
        try recorder.wait("no refusal") { !$0.losses.isEmpty }
        #expect(
            recorder.losses[0]
                == MQTTLoss(
                    .refused(code: code), reason: "\(reason); it wants username and password-file"))
    }

    @Test func `while it is paused messages wait in the broker, and none is lost`() throws {
        let broker = try Broker(["max_inflight_messages 0"])
        let reader = try Recorder(port: broker.port)
        let writer = try Recorder(port: broker.port, id: "writer", [])
        try reader.waitForSubscriptions()
        try writer.waitForSubscriptions()
        try reader.client.isPaused = true
        let total = 5000
        var published = 0
        while published < total {
            let message = MQTTPublication(topic: "t/\(published)", payload: Array(repeating: 7, count: 1000), qos: 1)
            if try writer.client.publish(message) != nil {
                published += 1
            } else {
                try writer.turn(for: .milliseconds(20))
            }
        }
        try writer.wait("not acknowledged") { $0.acknowledged.count == total }
        #expect(writer.acknowledged == writer.acknowledged.sorted())
        try reader.turn(for: .milliseconds(300))
        #expect(reader.messages.count <= 64)
        try reader.client.isPaused = false
        try reader.wait("messages are missing") { $0.messages.count == total }
        #expect(reader.messages.map(\.topic) == (0..<total).map { "t/\($0)" })
    }

    @Test func `a loop that does not turn bounds what is read`() throws {
        let broker = try Broker(["max_inflight_messages 0"])
        let reader = try Recorder(port: broker.port)
        let writer = try Recorder(port: broker.port, id: "writer", [])
        try reader.waitForSubscriptions()
        try writer.waitForSubscriptions()
        for number in 0..<4000 {
            while try writer.client.publish(MQTTPublication(topic: "t/\(number)", payload: [1], qos: 1)) == nil {
                try writer.turn(for: .milliseconds(20))
            }
        }
        try writer.wait("not acknowledged") { $0.acknowledged.count == 4000 }
        usleep(200_000)
        try reader.client.run()
        #expect(reader.messages.count == 1024)
        try reader.wait("messages are missing") { $0.messages.count == 4000 }
    }

    @Test func `a handler that pauses the client sees no further event of the same turn, and none is lost`() throws {
        let broker = try Broker(["max_inflight_messages 0"])
        let loop = try EventLoop()
        var topics: [String] = []
        var isSubscribed = false
        var reader: MQTTClient?
        let options = MQTTOptions(host: "127.0.0.1", port: broker.port, clientId: "reader", subscriptions: ["t/+"])
        let started = try MQTTClient(options) { event in
            switch event {
            case .subscribed: isSubscribed = true
            case .message(let message):
                topics.append(message.topic)
                reader?.isPaused = topics.count.isMultiple(of: 100)
            default: break
            }
        }
        reader = started
        defer { started.stop(within: .zero) }
        try loop.add(started)
        try loop.add(Timer(every: .milliseconds(20)) {})
        let writer = try Recorder(port: broker.port, id: "writer", [])
        try writer.waitForSubscriptions()
        let end = Duration.monotonic + .seconds(15)
        while !isSubscribed, .monotonic < end { try loop.turn() }
        for number in 0..<2000 {
            try writer.client.publish(MQTTPublication(topic: "t/\(number)", payload: [1], qos: 1))
        }
        try writer.wait("not acknowledged") { $0.acknowledged.count == 2000 }
        usleep(100_000)
        while topics.count < 2000, .monotonic < end {
            try loop.turn()
            guard started.isPaused else { continue }
            let count = topics.count
            #expect(count.isMultiple(of: 100))
            try loop.turn()
            #expect(topics.count == count)
            started.isPaused = false
        }
        #expect(topics == (0..<2000).map { "t/\($0)" })
        reader = nil
    }

    @Test(arguments: [MQTTOptions.Version.v5, .v311])
    func `a payload over the limit comes cut off, one byte too long`(version: MQTTOptions.Version) throws {
        let broker = try Broker()
        let recorder = try Recorder(port: broker.port, version)
        try recorder.waitForSubscriptions()
        for size in [65_536, 65_537, 66_000, 200_000] {
            try recorder.client.publish(
                MQTTPublication(topic: "t/\(size)", payload: Array(repeating: 1, count: size), qos: 1))
        }
        try recorder.client.publish(MQTTPublication(topic: "t/end", payload: []))
        try recorder.wait("no message") { $0.messages.last?.topic == "t/end" }
        // The broker keeps packets to itself that are longer than a client of MQTT 5 wants them.
        let sizes = [65_536, 65_537, 65_537] + (version == .v5 ? [] : [65_537]) + [0]
        #expect(recorder.messages.map(\.payload.count) == sizes)
    }

    @Test func `it works where descriptors have numbers above 1,023`() throws {
        var limit = rlimit()
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #expect(unsafe getrlimit(files, &limit) == 0)
        limit.rlim_cur = min(limit.rlim_max, 4096)
        #expect(unsafe setrlimit(files, &limit) == 0)
        let broker = try Broker()
        let open = (0..<1100).map { _ in FileDescriptorBox(dup(STDERR_FILENO)) }
        try #require(open.contains { $0.file.raw > 1023 })
        let recorder = try Recorder(port: broker.port)
        try recorder.waitForSubscriptions()
        try recorder.client.publish(MQTTPublication(topic: "t/a", payload: [1]))
        try recorder.wait("no message") { $0.messages.count == 1 }
    }

    @Test func `stopping sends what was published, and waits for no broker that hangs`() throws {
        let broker = try Broker()
        let reader = try Recorder(port: broker.port)
        try reader.waitForSubscriptions()
        do {
            let writer = try Recorder(port: broker.port, id: "writer", [])
            try writer.waitForSubscriptions()
            for number in 0..<100 { try writer.client.publish(MQTTPublication(topic: "t/\(number)", payload: [1])) }
            try writer.client.stop(within: .seconds(5))
        }
        try reader.wait("messages are missing") { $0.messages.count == 100 }
        broker.send(SIGSTOP)
        defer { broker.send(SIGCONT) }
        for _ in 0..<1000 {
            try reader.client.publish(MQTTPublication(topic: "t/x", payload: Array(repeating: 1, count: 4000)))
            usleep(100)
        }
        let begun = Duration.monotonic
        try reader.client.stop(within: .milliseconds(200))
        #expect(.monotonic - begun < .seconds(1))
    }
}

private final class FileDescriptorBox {
    let file: FileDescriptor

    init(_ raw: CInt) { file = FileDescriptor(owning: raw) }
}
