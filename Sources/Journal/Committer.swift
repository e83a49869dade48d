internal import EventLoop
internal import Synchronization

/// The thread that writes and syncs bytes, and nothing else: it knows files, not logs.
///
/// One group at a time is handed to it. It writes and syncs the group's batches one after the other, lets go of their
/// bytes, so that the loop may use the buffers again, and rings.
final class Committer: Sendable {
    /// Bytes for one file.
    struct Batch: Sendable {
        let file: LogFile
        let bytes: [UInt8]
        let offset: UInt64
        /// Whether the file is to be synced before the next batch is written.
        let syncs: Bool
    }

    private struct State {
        var group: [Batch] = []
        var isDone = false
        var isStopped = false
    }

    private let state = Mutex(State())
    private let bell: Wakeup
    /// Rings when a group is on disk.
    let report: Wakeup
    private let onFailure: @Sendable (JournalError) -> Never

    /// Makes it; `start` starts its thread.
    init(onFailure: @escaping @Sendable (JournalError) -> Never) throws(SystemError) {
        bell = try Wakeup(blocking: true)
        report = try Wakeup()
        self.onFailure = onFailure
    }

    /// Starts the thread, which lives until `stop`.
    func start() throws(SystemError) {
        try startThread("nearhub-commit", stack: 128 * 1024) { self.run() }
    }

    /// Hands a group over; the one before must have been reported.
    func commit(_ group: [Batch]) {
        state.withLock { $0.group = group }
        bell.ring()
    }

    /// Whether the group has been done since the last call; quiets the bell.
    func takeReport() -> Bool {
        report.wait()
        return state.withLock { state in
            defer { state.isDone = false }
            return state.isDone
        }
    }

    /// Ends the thread after the group under way.
    func stop() {
        state.withLock { $0.isStopped = true }
        bell.ring()
    }

    private func run() {
        while true {
            bell.wait()
            commitGroup()
            let isStopped = state.withLock { $0.isStopped && $0.group.isEmpty }
            if isStopped { return }
        }
    }

    private func commitGroup() {
        var group = state.withLock { state in
            defer { state.group = [] }
            return state.group
        }
        guard !group.isEmpty else { return }
        for batch in group {
            do {
                try batch.file.write(batch.bytes, at: batch.offset)
                if batch.syncs { try batch.file.sync() }
            } catch { onFailure(JournalError(.io(error), file: batch.file.path)) }
        }
        group = []
        state.withLock { $0.isDone = true }
        report.ring()
    }
}
