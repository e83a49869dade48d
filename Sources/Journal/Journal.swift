public import EventLoop
internal import Glibc

/// All logs of one state directory, and the one thread that commits them; an event source of the loop.
///
/// Before each wait of the loop everything that is staged becomes one group, if none is under way: group commit. The
/// committer thread writes and syncs the group, log by log in the given order; then `onDurable` runs on the loop.
/// An error from write or fdatasync ends the process through `onFailure`: after it the kernel's memory may hold what
/// the disk does not, so no further answer is safe.
public final class Journal: EventSource {
    /// Called on the loop when `durablePosition` rose.
    public var onDurable: (() -> Void)?

    private let logs: [Log]
    private let committer: Committer
    private var isCommitting = false

    /// Starts the committer.
    ///
    /// - Parameters:
    ///   - logs: in the order of writing and syncing: what others refer to comes first.
    ///   - onFailure: ends the process, with a word to people; called on the committer's thread.
    /// - Throws: `.io` when there is no descriptor or no thread left.
    public init(_ logs: [Log], onFailure: @escaping @Sendable (JournalError) -> Never) throws(JournalError) {
        self.logs = logs
        committer = try onLog("journal") { () throws(SystemError) in
            let committer = try Committer(onFailure: onFailure)
            try committer.start()
            return committer
        }
    }

    deinit { committer.stop() }

    /// How far records are staged over all logs; only ever rises.
    public var position: UInt64 { logs.reduce(0) { $0 + $1.seq } }

    /// How far they are on disk: what was staged at a `position` up to this one is durable.
    public var durablePosition: UInt64 {
        // Groups take all logs at once, so the sum passes a position only when everything staged by then is on disk.
        logs.reduce(0) { $0 + $1.durableSeq }
    }

    /// Readable when the committer has something to tell.
    public var descriptor: CInt? { committer.report.descriptor }

    /// Hands over what is staged, if the committer is idle.
    public func prepare() {
        guard !isCommitting else { return }
        commit(syncing: false)
    }

    /// Takes the committer's report.
    public func run() {
        guard committer.takeReport() else { return }
        isCommitting = false
        let before = durablePosition
        for log in logs { log.endCommit() }
        if durablePosition > before { onDurable?() }
    }

    /// Blocks until all records and marks are on disk; for a clean stop.
    ///
    /// For the stop call it twice, with `Log.mark(settled:)` between: the mark then says that everything is on disk.
    ///
    /// - Throws: `.io` when waiting fails. An error of the disk ends the process instead.
    public func flush() throws(JournalError) {
        while true {
            if !isCommitting { commit(syncing: true) }
            guard isCommitting else { return }
            var entry = pollfd(fd: committer.report.descriptor, events: Int16(POLLIN), revents: 0)
            _ = try onLog("journal") { () throws(SystemError) in try system("poll") { unsafe poll(&entry, 1, -1) } }
            run()
        }
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
}
