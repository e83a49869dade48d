import EventLoop
import MQTTClient
import Testing

/// A client in a loop of its own that writes down what happens to it.
final class Recorder {
    private(set) var events: [MQTTEvent] = []
    private let loop: EventLoop
    private var started: MQTTClient?

    convenience init(
        port: UInt16, _ version: MQTTOptions.Version = .v5, id: String = "recorder", _ subscriptions: [String] = ["t/+"]
    ) throws {
        try self.init(
            MQTTOptions(host: "127.0.0.1", port: port, clientId: id, version: version, subscriptions: subscriptions))
    }

    init(_ options: MQTTOptions) throws {
        loop = try EventLoop()
        let client = try MQTTClient(options) { [unowned self] event in events.append(event) }
        started = client
        try loop.add(client)
        try loop.add(Timer(every: .milliseconds(20)) {})
    }

    deinit { started?.stop(within: .zero) }

    var client: MQTTClient {
        get throws { try #require(started) }
    }

    var messages: [MQTTMessage] {
        events.compactMap { if case .message(let message) = $0 { message } else { nil } }
    }

    var losses: [MQTTLoss] {
        events.compactMap { if case .disconnected(let loss, _) = $0 { loss } else { nil } }
    }

    var refusals: [[String]] {
        events.compactMap { if case .subscribed(let refused) = $0 { refused.map(\.filter) } else { nil } }
    }

    /// Publications with the codes of their PUBACK.
    var codes: [UInt8] {
        events.compactMap {
            switch $0 {
            case .published(_, let code): code
            case .failed(_, let code, _): code
            default: nil
            }
        }
    }

    var acknowledged: [UInt64] {
        events.compactMap { if case .published(let id, _) = $0 { id } else { nil } }
    }

    var failed: [UInt64] {
        events.compactMap { if case .failed(let id, _, _) = $0 { id } else { nil } }
    }

    /// Turns the loop until something is true.
    func wait(
        seconds: Int = 15, _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation,
        until isTrue: (Recorder) -> Bool
    ) throws {
        let end = Duration.monotonic + .seconds(seconds)
        while !isTrue(self) {
            try #require(.monotonic < end, what, sourceLocation: sourceLocation)
            try loop.turn()
        }
    }

    /// Turns the loop for a while.
    func turn(for time: Duration) throws {
        let end = Duration.monotonic + time
        while .monotonic < end { try loop.turn() }
    }

    /// Waits until there have been so many connections with their subscriptions.
    func waitForSubscriptions(_ count: Int = 1, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try wait("no subscription", sourceLocation: sourceLocation) { $0.refusals.count >= count }
    }
}
