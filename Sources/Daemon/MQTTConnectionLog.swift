internal import Configuration
internal import DeviceAPI
internal import EventLoop
internal import JSON
internal import Logging
internal import MQTTClient

/// How the connection to the broker is doing: for the status since when and why, for the log a line for each change.
struct MQTTConnectionLog {
    private enum State: String {
        case connecting, connected, waiting, refused
    }

    /// A connection that ends sooner, and as the one before it did, is nothing new.
    private static let brief = Duration.seconds(60)
    /// So many losses within that time are no restart of the broker.
    private static let manyLosses = 3

    private let broker: BrokerAddress
    private let clientId: String
    private let logger: Logger
    private var state = State.connecting
    private var reason: String?
    private var since = Duration.monotonic
    private var loss: MQTTLoss?
    private var refusals: [String] = []
    /// Since when requests come in; nil while none can.
    private var usableSince: Duration?
    /// When connections that had been usable ended, as far as it was a brief time ago.
    private var ends: [Duration] = []
    private var isFlapping = false

    init(_ broker: BrokerAddress, clientId: String, _ logger: Logger) {
        self.broker = broker
        self.clientId = clientId
        self.logger = logger
    }

    /// Takes in what happened.
    mutating func note(_ event: MQTTEvent) {
        switch event {
        // What was wrong, and since when, stays true until requests come in.
        case .connecting: state = .connecting
        case .subscribed(let refused): noteSubscribed(refused.map { "the broker refuses \($0.filter): \($0.reason)" })
        case .disconnected(let loss, _): noteDisconnected(loss)
        case .connected, .message, .published, .failed: break
        }
    }

    /// Writes the members of the status that tell of the connection.
    func writeStatus(to json: inout JSONWriter) {
        json.member("url", Text(broker.description))
        json.member("state", word: state)
        json.member("since", (Duration.monotonic - since).components.seconds)
        json.member("reason", reason.map { Text($0) })
    }

    /// If all was refused `noteDisconnected` comes next.
    private mutating func noteSubscribed(_ refusals: [String]) {
        defer { self.refusals = refusals }
        guard refusals.count < MQTTTopics.subscriptions.count else { return }
        (state, since, usableSince) = (.connected, .monotonic, .monotonic)
        reason = refusals.first
        if !isFlapping { logger.notice("mqtt is connected to \(broker)") }
        if let first = refusals.first, refusals != self.refusals { logger.warning("mqtt: \(first)") }
    }

    private mutating func noteDisconnected(_ loss: MQTTLoss) {
        let now = Duration.monotonic
        let wasUsable = usableSince != nil
        let wasBrief = usableSince.map { now - $0 < Self.brief } ?? true
        ends = ends.filter { now - $0 < Self.brief } + (wasUsable ? [now] : [])
        let isNews = loss != self.loss || !wasBrief
        if isNews || (wasUsable && !isFlapping && ends.count < Self.manyLosses) {
            isFlapping = false
            logger.warning(
                "mqtt has no connection to \(broker): \(loss.reason)\(advice(loss)); it tries again for ever")
        } else if wasUsable, !isFlapping {
            isFlapping = true
            logger.warning(
                """
                mqtt loses its connection to \(broker) again and again, from now on in silence: \(loss.reason); does \
                another client call itself \(clientId)? Each hub needs its own [mqtt] client-id
                """)
        }
        if wasUsable { since = now }
        usableSince = nil
        self.loss = loss
        (state, reason) = (loss.kind == .refused || loss.kind == .denied ? .refused : .waiting, loss.reason)
    }

    private func advice(_ loss: MQTTLoss) -> String {
        switch loss.reason {
        case _ where loss.cause == .takenOver:
            " (another client calls itself \(clientId): give each hub its own [mqtt] client-id)"
        case let reason where loss.kind == .refused && reason.lowercased().contains("protocol version"):
            " (try [mqtt] version = 3.1.1)"
        case _ where loss.kind == .refused: " (check [mqtt] username and password-file)"
        case _ where loss.cause == .tls: " (check [mqtt] ca-file, and that the certificate names the host of the url)"
        case _ where loss.kind == .denied: " (let client \(clientId) read there)"
        default: ""
        }
    }
}
