public import EventLoop
internal import JSON
public import Journal
internal import Provisioning

/// upstream.jsonl: how far upstream was told of the device log, and what is to be remembered of single devices.
///
/// Losing its last lines loses nothing: upstream is told again. So it is synced lazily, in groups of its own: when the disk
/// does not take its lines, no device is refused, and they wait here until it does. Each line with the cursor is also a
/// witness: it says which log it is about, and how far that one was on disk. A device log that is older than that was
/// copied back, or cut off, and is found out at the start. It is an event source of the loop, behind the store.
public final class UpstreamLog {
    /// How long lines wait for a sync, and a changed device log for its witness.
    static let interval = Duration.seconds(5)
    /// About how much is written at a time.
    static let slice: UInt64 = 32 << 10

    /// What the last line with the cursor says.
    struct Entry: Equatable {
        var cursor = UpstreamCursor(target: "", seq: 0)
        /// The id of the device log.
        var log: Text = ""
        /// The number up to which the device log was on disk.
        var devices: UInt64 = 0
    }

    /// What its lines say, taken together.
    struct Content {
        var entry = Entry()
        var states: [Text: SyncState] = [:]

        /// Takes in a line.
        mutating func replay(_ record: Record) throws(InvalidRecord) {
            if let cursor = record.json["cursor"] {
                guard let target = cursor["to"]?.text, let seq = cursor["of"]?.unsigned,
                    let log = cursor["log"]?.text, let devices = cursor["devices"]?.unsigned
                else { throw InvalidRecord("an unreadable cursor") }
                entry = Entry(
                    cursor: UpstreamCursor(
                        target: target, settings: cursor["settings"]?.text ?? "", seq: seq,
                        ended: cursor["ended"]?.unsigned ?? 0),
                    log: log, devices: devices)
            } else if let sync = record.json["sync"] {
                guard let device = sync["device"]?.text else { throw InvalidRecord("a sync state of no device") }
                states[device] = record.operation == .put ? try SyncState(sync) : nil
            }
        }
    }

    let log: Log
    let journal: Journal
    /// The log that it is about, and its id.
    private let devices: (log: Log, id: Text)
    private(set) var content: Content
    /// Devices whose states are not written, last first, each once.
    private var waiting: [Text] = []
    private var isWaiting: Set<Text> = []
    /// Those whose states are being written.
    private var staged: [Text] = []
    /// Whether the cursor waits for that; it is written when no state waits, since it must not pass one.
    private var isCursorWaiting = false
    private var isCursorStaged = false
    /// Who waits until what was noted before is on disk: up to which number, once that is known.
    private var replies: [(seq: UInt64?, reply: (JournalError?) -> Void)] = []
    /// When the device log wants its witness, and all lines a sync; nil when there is nothing to do.
    private var due: Duration?
    /// Up to this number the device log is on disk before anything is written.
    private var barrier: UInt64 = 0
    /// The states that stood before what was decided beside changes of devices, until those are on disk.
    private var undecided: [Text: SyncState?] = [:]
    /// The length at which it may be worth while to write it anew.
    var nextCompaction: UInt64
    /// Called when the disk takes no writes any more, and with nil when it takes them again.
    public var onSuspension: ((Journal.Suspension?) -> Void)?

    /// The log, as it was opened.
    ///
    /// - Parameters:
    ///   - log: upstream.jsonl.
    ///   - content: what it says.
    ///   - devices: the log that it is about.
    ///   - isBurnt: whether the disk or the power ended what wrote it anew the last time: that is not begun again soon.
    ///   - retryInterval: time from one try to the next while the disk takes no writes.
    ///   - onFailure: ends the process when a sync failed; called on the committer's thread.
    init(
        _ log: Log, _ content: Content, about devices: Log, isBurnt: Bool, retryInterval: Duration,
        onFailure: @escaping @Sendable (JournalError) -> Never
    ) throws(JournalError) {
        self.log = log
        self.devices = (devices, try devices.id())
        // What it says of another log is of no use.
        self.content = content.entry.log == self.devices.id ? content : Content()
        log.isLazy = true
        nextCompaction = isBurnt ? log.size + Self.smallest : Self.smallest
        journal = try Journal([log], retryInterval: retryInterval, onFailure: onFailure)
        // They would be found again once a line names the log that is there.
        if content.entry.log != self.devices.id { for device in content.states.keys { wait(device) } }
        journal.onDurable = { [unowned self] in written() }
        journal.onTakenBack = { [unowned self] in takeBack() }
        journal.onResumed = { [unowned self] in resume() }
        journal.onMoved = { [unowned self] _, outcome in moved(outcome) }
    }

    /// Notes how far upstream was told.
    func note(_ cursor: UpstreamCursor) {
        content.entry.cursor = cursor
        isCursorWaiting = true
        touched()
    }

    /// Notes the state of a device; nil when there is nothing to remember any more.
    func note(_ state: SyncState?, of device: Text) {
        guard content.states[device] != state else { return }
        content.states[device] = state
        wait(device)
        touched()
    }

    /// Notes what was decided of a device, perhaps beside a change of it: neither is there without the other, so nothing is
    /// written before the device log is on disk as far as it is staged now.
    func decide(_ state: SyncState?, of device: Text) {
        if undecided.index(forKey: device) == nil { undecided.updateValue(content.states[device], forKey: device) }
        note(state, of: device)
        barrier = devices.log.seq
    }

    /// Undoes what was decided beside changes that the disk did not take; called when they have been taken back.
    func takeBackDecisions() {
        if devices.log.seq < barrier { for (device, state) in undecided { note(state, of: device) } }
        undecided = [:]
    }

    /// Notes that there is something to write or to sync, or that the device log has grown.
    func touched() { due = due ?? .recent + Self.interval }

    /// Calls `reply` with nil when all that was noted is on disk, or with the reason why it is not yet.
    func whenSynced(_ reply: @escaping (JournalError?) -> Void) {
        if let suspension = journal.suspension { return reply(suspension.error) }
        if !isBehind, staged.isEmpty, log.seq == log.syncedSeq { return reply(nil) }
        replies.append((nil, reply))
        log.wantsSync = true
    }

    /// Brings all to disk, as far as it takes it, and says so in the log; for a clean stop.
    func close() throws(JournalError) {
        wantWitness()
        if !staged.isEmpty || isCursorStaged { try journal.flush() }
        // At once: nobody waits for the loop any more, and each sync may take long.
        stage(.max)
        try journal.flush()
        if log.provenSeq < log.seq { log.mark() }
        try journal.flush()
    }

    // MARK: - Writing

    private var isBehind: Bool { !waiting.isEmpty || isCursorWaiting }

    private func wait(_ device: Text) {
        if isWaiting.insert(device).inserted { waiting.append(device) }
    }

    /// Stages a slice of what waits; the next one follows when it is written.
    private func stage(_ slice: UInt64 = slice) {
        guard staged.isEmpty, !isCursorStaged, journal.suspension == nil,
            devices.log.durableSeq >= min(barrier, devices.log.seq)
        else { return }
        undecided = [:]
        let begin = log.nextAddress
        while let device = waiting.last, log.nextAddress - begin < slice {
            do throws(JournalError) {
                try write(content.states[device], of: device)
                staged.append(device)
            } catch {
                // Upstream may send credentials that no line holds: that they differ is remembered without them. What
                // no line holds at all is known until the next start, and then told again.
                if content.states[device]?.upstream != nil {
                    content.states[device]?.upstream = nil
                    continue
                }
            }
            waiting.removeLast()
            isWaiting.remove(device)
        }
        if isCursorWaiting, waiting.isEmpty { try? writeCursor() }
        guard waiting.isEmpty else { return }
        for index in replies.indices where replies[index].seq == nil { replies[index].seq = log.seq }
        if !replies.isEmpty { log.wantsSync = true }
    }

    private func write(_ state: SyncState?, of device: Text) throws(JournalError) {
        _ = try log.append(state == nil ? .delete : .put, at: Duration.sinceEpoch.milliseconds) { json in
            json.name("sync")
            if let state { return state.write(of: device, to: &json) }
            json.beginObject()
            json.member("device", device)
            json.endObject()
        }
    }

    private func writeCursor() throws(JournalError) {
        content.entry.log = devices.id
        content.entry.devices = devices.log.durableSeq
        let entry = content.entry
        _ = try log.append(.put, at: Duration.sinceEpoch.milliseconds) { json in
            json.name("cursor")
            json.beginObject()
            json.member("to", entry.cursor.target)
            if !entry.cursor.settings.isEmpty { json.member("settings", entry.cursor.settings) }
            json.member("of", entry.cursor.seq)
            if entry.cursor.ended > 0 { json.member("ended", entry.cursor.ended) }
            json.member("log", entry.log)
            json.member("devices", entry.devices)
            json.endObject()
        }
        (isCursorWaiting, isCursorStaged) = (false, true)
    }

    /// Bears witness of the device log if it has grown, and has all lines synced.
    private func wantWitness() {
        due = nil
        if content.entry.devices != devices.log.durableSeq || content.entry.log != devices.id { isCursorWaiting = true }
        log.wantsSync = true
    }

    private func written() {
        staged.removeAll(keepingCapacity: true)
        isCursorStaged = false
        lookForDead()
    }

    private func takeBack() {
        for device in staged { wait(device) }
        staged = []
        isCursorWaiting = isCursorWaiting || isCursorStaged
        isCursorStaged = false
        due = nil
        for reply in takeReplies() { reply(journal.suspension?.error) }
        onSuspension?(journal.suspension)
    }

    private func resume() {
        onSuspension?(nil)
        touched()
    }

    private func takeReplies(through seq: UInt64 = .max) -> [(JournalError?) -> Void] {
        let over = replies.filter { ($0.seq ?? .max) <= seq }
        replies.removeAll { ($0.seq ?? .max) <= seq }
        return over.map(\.reply)
    }
}

extension UpstreamLog: EventSource {
    /// Readable when a group is written.
    public var descriptor: CInt? { journal.descriptor }

    /// Time until lines want a sync, or until the disk is tried again.
    public var timeout: Duration? {
        // While the disk takes nothing there is nothing to bear witness of, also while it is tried.
        journal.suspension == nil ? due.map { $0 - .monotonic } : journal.timeout
    }

    /// Takes note of what is written.
    public func run() {
        journal.run()
        for reply in takeReplies(through: log.syncedSeq) { reply(nil) }
        if journal.suspension == nil, let due, due <= .monotonic { wantWitness() }
    }

    /// Begins to write what was noted.
    public func prepare() {
        stage()
        // Of those that were noted while what they wait for was being synced.
        for reply in takeReplies(through: log.syncedSeq) { reply(nil) }
        journal.prepare()
    }
}
