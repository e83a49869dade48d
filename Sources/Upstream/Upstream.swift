internal import Crypto
public import EventLoop
internal import JSON
public import Journal
internal import MQTTClient
internal import Provisioning
public import Store

/// Tells the upstream of every device that the hub makes: the engine that drives a dialect over connections and store.
///
/// It never holds the loop for longer than 2 ms, and holds nothing in memory but what is in flight and what was refused.
/// The loop's thread owns it.
public final class Upstream: EventSource {
    /// How long the loop is held at most, and how often the cursor is written at most.
    private static let slice = Duration.milliseconds(2)
    private static let cursorInterval = Duration.seconds(1)
    /// How long a stop waits for what is on its way.
    private static let farewell = Duration.seconds(1)
    /// How long a disk that failed a read is left alone.
    private static let diskPause = Duration.seconds(1)

    let plan: Plan
    let store: Store
    let target: Text
    private let loop: EventLoop
    private let onLink: (LinkState) -> Void
    private var dialect: any Dialect
    var feed: Feed
    /// The highest number at which upstream was told that a device has ended.
    var ended: UInt64
    private var connections: [Channel: Connection] = [:]
    private var lastConnection: UInt64 = 0
    /// How the connection is doing, and since when it is up or down (milliseconds since 1970).
    private(set) var link = LinkState.connecting
    private(set) var linkSince = Duration.sinceEpoch.milliseconds
    /// Why there is no connection; nil when there is one, or none was tried yet.
    private(set) var trouble: String?
    private var cursorDue: Duration?
    /// When the disk is asked again after a failure; nil while it does its work.
    private var diskDue: Duration?
    /// Whether the log knows already that lines cannot be read.
    private var isReadingBroken = false
    private var isStopped = false
    /// Is told what reading the device log fails with, once for failures in a row.
    public var onUnreadable: ((JournalError) -> Void)?
    /// Refused devices that are yet to be told again.
    var retrying: [Text] = []
    /// Devices of each state in the order of their numbers; empty when it must be made again.
    var sortedStates: [SyncState.Kind: [(seq: UInt64, device: Text)]] = [:]

    /// Begins where the last run has stopped, or anew if the plan names another upstream.
    ///
    /// - Parameters:
    ///   - plan: what the operator decided.
    ///   - store: the devices, and what is to be remembered.
    ///   - loop: takes the connections, as they come and go.
    ///   - onLink: is told how the connection is doing whenever that changes.
    public init(_ plan: Plan, _ store: Store, _ loop: EventLoop, onLink: @escaping (LinkState) -> Void) {
        self.plan = plan
        self.store = store
        self.loop = loop
        self.onLink = onLink
        target = plan.target
        dialect = plan.dialect.make(plan.settings)
        let cursor = store.upstreamCursor
        let isSame = cursor.target == target
        if isSame, cursor.settings != plan.settings.digest { Self.retryRefused(store) }
        if !isSame { Self.forgetStates(store, butNames: plan.isSameUpstream(cursor.target)) }
        feed = Feed(
            store, after: isSame ? cursor.seq : 0, isForProvisioned: plan.dialect.isForProvisionedDevices)
        ended = isSame ? cursor.ended : 0
    }

    /// Begins to connect; the loop must have `add`ed it.
    public func start() {
        noteCursor()
        take(.start)
    }

    /// Says goodbye, and notes how far upstream was told.
    public func stop() {
        take(.stop)
        isStopped = true
        let end = Duration.monotonic + Self.farewell
        for connection in connections.values { connection.client.stop(within: max(.zero, end - .monotonic)) }
        noteCursor()
    }

    /// None: connections are sources of their own.
    public var descriptor: CInt? { nil }

    /// Time until the dialect or the cursor wants something.
    public var timeout: Duration? {
        guard !isStopped else { return nil }
        // A disk that takes no writes says by itself when it does again.
        let isDiskGood = store.upstreamSuspension == nil && diskDue == nil
        if isDiskGood, isMoreToRead || !retrying.isEmpty { return .zero }
        let wait = isDiskGood && dialect.room(at: .monotonic) > 0 ? feed.deadline : nil
        return [dialect.deadline, cursorDue, diskDue, wait].compactMap { $0 }.min().map { $0 - .monotonic }
    }

    /// Offers devices to the dialect, as many as it takes.
    public func prepare() {
        // What was decided may have been taken back.
        if store.suspension != nil { sortedStates = [:] }
        guard !isStopped, store.upstreamSuspension == nil, diskDue == nil else { return }
        let end = Duration.monotonic + Self.slice
        retrySome(until: end)
        do throws(JournalError) {
            while dialect.room(at: .monotonic) > 0 {
                let next = try feed.next(until: end, name: { upstreamName(of: $0) })
                isReadingBroken = false
                guard var change = next else { break }
                change.formerName = formerName(of: change.device)
                take(.device(change))
                if .monotonic >= end { break }
            }
        } catch {
            pauseDisk()
            if !isReadingBroken { onUnreadable?(error) }
            isReadingBroken = true
        }
        while let error = feed.takeFault() { onUnreadable?(error) }
        scheduleCursor()
    }

    private func pauseDisk() { diskDue = .monotonic + Self.diskPause }

    /// Runs what is due.
    public func run() {
        let now = Duration.monotonic
        if let due = cursorDue, due <= now {
            cursorDue = nil
            noteCursor()
        }
        if let due = diskDue, due <= now { diskDue = nil }
        if let due = dialect.deadline, due <= now { take(.time) }
    }

    private var isMoreToRead: Bool {
        !feed.isAtEnd && dialect.room(at: .monotonic) > 0
    }

    // MARK: - Dialect

    /// Tells the dialect what happened, and does what it says.
    func take(_ input: Input) {
        guard !isStopped else { return }
        let moment = Moment(
            now: .monotonic, chance: Double.random(in: 0..<1), cursor: feed.cursor, ended: ended,
            hasGhosts: feed.hasGhosts)
        for action in dialect.handle(input, at: moment) { perform(action) }
    }

    private func perform(_ action: Action) {
        switch action {
        case .connect(let channel, let introduction): connect(channel, introduction)
        case .disconnect(let channel): end(channel)
        case .publish(let channel, let publication, let receipt): connections[channel]?.publish(publication, receipt)
        case .settle(let device, let outcome): settle(device, outcome)
        case .release(let device): feed.release(device)
        case .examine(let device): feed.examine(device)
        case .rewind(let seq):
            feed.rewind(to: seq)
            scheduleCursor()
        case .report(let state): report(state)
        }
    }

    private func report(_ state: LinkState) {
        guard state != link else { return }
        if state.isUp != link.isUp { linkSince = Duration.sinceEpoch.milliseconds }
        link = state
        if state != .connecting { trouble = state.reason }
        onLink(state)
    }

    // MARK: - Connections

    private func connect(_ channel: Channel, _ introduction: Introduction) {
        end(channel)
        var options = MQTTOptions(
            host: plan.address.host, port: plan.address.port, clientId: introduction.clientId,
            version: introduction.version, login: introduction.login, subscriptions: introduction.subscriptions)
        options.tls = plan.address.tls
        options.will = introduction.will
        options.inFlight = UInt16(clamping: plan.settings.window * 2 + 20)
        options.longestWait = nil
        options.ignoresOwn = true
        do throws(SystemError) {
            lastConnection += 1
            let number = lastConnection
            let connection = try Connection(channel, number, options) { [unowned self] event in
                handle(event, of: channel, number)
            }
            try loop.add(connection.client)
            connections[channel] = connection
        } catch {
            take(.disconnected(channel, MQTTLoss(.other, reason: error.reason)))
        }
    }

    /// Events of a connection that has been ended may still come.
    private func handle(_ event: MQTTEvent, of channel: Channel, _ number: UInt64) {
        guard let connection = connections[channel], connection.number == number, let input = connection.input(event)
        else { return }
        if case .disconnected = input { end(channel) }
        take(input)
    }

    private func end(_ channel: Channel) {
        guard let connection = connections.removeValue(forKey: channel) else { return }
        loop.remove(connection.client)
    }

    // MARK: - Cursor

    private func scheduleCursor() {
        let noted = store.upstreamCursor
        if feed.cursor != noted.seq || ended != noted.ended {
            cursorDue = cursorDue ?? .monotonic + Self.cursorInterval
        }
    }

    private func noteCursor() {
        let cursor = UpstreamCursor(target: target, settings: plan.settings.digest, seq: feed.cursor, ended: ended)
        if cursor != store.upstreamCursor { store.note(cursor) }
    }
}
