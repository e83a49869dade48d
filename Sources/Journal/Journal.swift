public import EventLoop
internal import Glibc
public import JSON

/// All logs of one state directory, and the one thread that commits them; an event source of the loop.
///
/// Before each wait of the loop everything that is staged becomes one group, if none is under way: group commit. The
/// committer thread writes and syncs the group, log by log in the given order; then `onDurable` runs on the loop.
///
/// When the disk does not take a write, because it is full or otherwise, the logs are cut back to what is on disk and
/// `onTakenBack` runs. From then on records are refused (`.suspended`), until one of the tries that are made every 5 s
/// succeeds. An error from fdatasync, or from cutting back, ends the process through `onFailure`: after it the kernel's
/// memory may hold what the disk does not, so no further answer is safe.
public final class Journal: EventSource {
    /// That the disk takes no writes.
    public struct Suspension: Sendable, Hashable {
        /// What the first write that failed said.
        public let error: JournalError
        /// When that was, in milliseconds since 1970; for people.
        public let since: Int64
        /// Whether the disk, or a share or limit of it, is full; otherwise it fails or is read-only.
        public let isFull: Bool
    }

    /// How long it is from one try to the next while the disk takes no writes, unless something else is wanted.
    public static let retryInterval = Duration.seconds(5)

    /// Called on the loop when `durablePosition` rose.
    public var onDurable: (() -> Void)?
    /// Called on the loop when all that was not on disk has been taken back; each log's `seq` is its `durableSeq` again.
    public var onTakenBack: (() -> Void)?
    /// Called on the loop when the disk takes writes again.
    public var onResumed: (() -> Void)?
    /// Why no record is taken at present; nil when records are.
    public private(set) var suspension: Suspension?

    /// Called on the loop when a compaction has ended.
    public var onMoved: ((Log, Log.Moved) -> Void)?

    private let logs: [Log]
    private let committer: Committer
    private let onFailure: @Sendable (JournalError) -> Never
    private var isCommitting = false
    var compacting: Compacting?
    private var isTrying = false
    private let retryInterval: Duration
    private var retryDue = Duration.zero

    /// Starts the committer.
    ///
    /// - Parameters:
    ///   - logs: in the order of writing and syncing: what others refer to comes first.
    ///   - retryInterval: time from one try to the next while the disk takes no writes.
    ///   - onFailure: ends the process, with a word to people; called on the committer's thread.
    /// - Throws: `.io` when there is no descriptor or no thread left.
    public init(
        _ logs: [Log], retryInterval: Duration = Journal.retryInterval,
        onFailure: @escaping @Sendable (JournalError) -> Never
    ) throws(JournalError) {
        self.logs = logs
        self.retryInterval = retryInterval
        self.onFailure = onFailure
        committer = try onLog("journal") { () throws(SystemError) in
            let committer = try Committer(onFailure: onFailure)
            try committer.start()
            return committer
        }
    }

    deinit {
        compacting?.job.cancel(JournalError(.stopped, file: "compaction"))
        committer.stop()
    }

    /// How far records are staged over all logs; falls only when what is not on disk is taken back.
    public var position: UInt64 { logs.reduce(0) { $0 + $1.seq } }

    /// How far they are on disk: what was staged at a `position` up to this one is durable.
    public var durablePosition: UInt64 {
        // Groups take all logs at once, so the sum passes a position only when everything staged by then is on disk.
        logs.reduce(0) { $0 + $1.durableSeq }
    }

    /// Readable when the committer has something to tell.
    public var descriptor: CInt? { committer.report.descriptor }

    /// Time until the next try while the disk takes no writes.
    public var timeout: Duration? { suspension == nil || isCommitting ? nil : retryDue - .monotonic }

    /// Hands over what is staged, if the committer is idle.
    public func prepare() {
        guard !isCommitting, !isMoving else { return }
        if let suspension {
            guard retryDue <= .monotonic else { return }
            isTrying = true
            for log in logs where log.file.path == suspension.error.file { log.probe() }
        } else if beginMove() {
            return
        }
        commit(syncing: suspension != nil)
    }

    /// Takes the committer's report.
    public func run() {
        let report = committer.takeReport()
        advanceCompaction()
        guard let outcome = report else { return }
        isCommitting = false
        switch outcome {
        case .done:
            let before = durablePosition
            for log in logs { log.endCommit() }
            if isTrying { resume() }
            if durablePosition > before { onDurable?() }
        case .takenBack(let error): takeBack(error)
        }
    }

    /// Blocks until all records and marks are on disk; for a clean stop.
    ///
    /// For the stop call it twice, with `Log.mark(settled:)` between: the mark then says that everything is on disk.
    ///
    /// While the disk takes no writes, what was staged is taken back instead.
    ///
    /// - Throws: `.io` when waiting fails. A failed sync ends the process instead.
    public func flush() throws(JournalError) {
        while true {
            if !isCommitting, !isMoving { commit(syncing: true) }
            cancelCompaction(JournalError(.stopped, file: "compaction"))
            guard isCommitting || compacting != nil else { return }
            var entry = pollfd(fd: committer.report.descriptor, events: Int16(POLLIN), revents: 0)
            _ = try onLog("journal") { () throws(SystemError) in try system("poll") { unsafe poll(&entry, 1, -1) } }
            run()
        }
    }

    private func takeBack(_ error: JournalError) {
        // Lines that were live no more are so again.
        cancelCompaction(error)
        for log in logs { log.takeBack() }
        isTrying = false
        retryDue = .monotonic + retryInterval
        guard suspension == nil, case .io(let cause) = error.kind else { return }
        suspension = Suspension(error: error, since: Duration.sinceEpoch.milliseconds, isFull: cause.isFullDisk)
        for log in logs { log.obstacle = cause }
        onTakenBack?()
    }

    private func resume() {
        isTrying = false
        suspension = nil
        for log in logs { log.obstacle = nil }
        onResumed?()
    }

    private func commit(syncing: Bool) {
        var group: [Committer.Batch] = []
        for log in logs {
            if let batch = log.beginCommit(syncing: syncing) { group.append(batch) }
        }
        guard !group.isEmpty else { return }
        isCommitting = true
        committer.commit(group)
    }

    // MARK: - Compaction

    /// Begins to write a log anew without what later records have replaced, while it is used.
    ///
    /// - Parameters:
    ///   - log: one of the journal's.
    ///   - isForced: whether one dead record is enough; otherwise more than half of the log is to be dead.
    ///   - key: the id of what a record is about; called on another thread.
    ///   - isLive: whether the newest state of what it is about is this one; called on the loop. Nil when it does not know:
    ///     then the newest states of all ids are remembered meanwhile.
    /// - Returns: false when a compaction is under way, or the disk takes no writes.
    /// - Throws: `.damaged` when lines of the log are not served: what they hide would be dead for ever. `.io` when there
    ///   is no thread left.
    public func compact(
        _ log: Log, isForced: Bool, key: @escaping @Sendable (JSONValue) -> Text?,
        isLive: ((Log.Candidate) -> Bool)?
    ) throws(JournalError) -> Bool {
        guard compacting == nil, suspension == nil else { return false }
        if log.skipsDamage {
            let why = "lines are damaged or missing; a repair comes first"
            throw JournalError(.damaged(offset: 0, line: nil, why: why), file: log.file.path)
        }
        let request = CompactionRequest(
            name: log.name, addresses: log.addresses, end: log.size, seq: log.durableSeq, isForced: isForced, key: key,
            asks: isLive != nil)
        let (report, onFailure) = (committer.report, onFailure)
        let job = try onLog(log.file.path) { () throws(SystemError) in
            try Compaction(request, log.file, report: report, onFailure: onFailure)
        }
        compacting = Compacting(log: log, job: job, isLive: isLive ?? { _ in true }, bytesBefore: log.size)
        return true
    }
}
