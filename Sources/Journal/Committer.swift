internal import EventLoop
internal import Synchronization

/// The thread that writes and syncs bytes, and nothing else: it knows files, not logs.
///
/// One group at a time is handed to it. It writes and syncs the group's batches one after the other, lets go of their
/// bytes, so that the loop may use the buffers again, and rings. When the disk does not take a write, it takes all of
/// the group back and reports that; when a sync or the taking back fails, the process ends.
final class Committer: Sendable {
    /// Bytes for one file.
    struct Batch: Sendable {
        let file: LogFile
        let bytes: [UInt8]
        let offset: UInt64
        /// Whether the file is to be synced before the next batch is written.
        let syncs: Bool
    }

    /// How a group ended.
    enum Outcome: Sendable {
        /// It is on disk, as far as it was to be.
        case done
        /// The disk did not take it; the files are as they were before it.
        case takenBack(JournalError)
    }

    private struct State {
        var group: [Batch] = []
        var outcome: Outcome?
        var isStopped = false
    }

    private let state = Mutex(State())
    private let bell: Wakeup
    /// Rings when a group has ended.
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

    /// How the group ended, if it has since the last call; quiets the bell.
    func takeReport() -> Outcome? {
        report.wait()
        return state.withLock { state in
            defer { state.outcome = nil }
            return state.outcome
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
        let outcome = write(group)
        group = []
        state.withLock { $0.outcome = outcome }
        report.ring()
    }

    private func write(_ group: [Batch]) -> Outcome {
        for (index, batch) in group.enumerated() {
            do { try batch.file.write(batch.bytes, at: batch.offset) } catch {
                let failure = JournalError(.io(error), file: batch.file.path)
                guard error.isRefusedWrite else { onFailure(failure) }
                takeBack(group[...index])
                return .takenBack(failure)
            }
            if batch.syncs { sync(batch) }
        }
        return .done
    }

    /// Cuts the files back to where the group began; what was synced already is taken back on disk too.
    private func takeBack(_ written: ArraySlice<Batch>) {
        for (index, batch) in written.enumerated().reversed() {
            do {
                // A disk that took nothing may not take a cut either: there is nothing to cut.
                guard try batch.file.size() > batch.offset else { continue }
                try batch.file.truncate(to: batch.offset)
            } catch {
                onFailure(JournalError(.io(error), file: batch.file.path))
            }
            if batch.syncs, index < written.count - 1 { sync(batch) }
        }
    }

    private func sync(_ batch: Batch) {
        do { try batch.file.sync() } catch { onFailure(JournalError(.io(error), file: batch.file.path)) }
    }
}
