internal import EventLoop
internal import Glibc
internal import JSON
internal import Synchronization

/// A log that is written anew while it is used, by a thread of its own.
///
/// The thread asks the loop which lines are live, copies those, then what was appended meanwhile. Only the last step,
/// from less than 64 KiB before the end to the new log's name on disk, keeps the committer waiting; the loop never waits.
/// What is asked may be true no more when it is copied: the line that says otherwise is then behind it.
final class Compaction: Sendable {
    /// A log in the old one's place, on disk with its name.
    struct Replacement: Sendable {
        let file: LogFile
        let records: UInt64
        let size: UInt64
        let addresses: Addresses
    }

    /// What the thread has to tell; it goes on when it is answered, unless it has ended.
    enum Event: Sendable {
        case question([Log.Candidate])
        /// Wants to know where the log ends.
        case wantsEnd
        /// Wants the same, and that nothing is written until it has ended.
        case wantsRest
        case replaced(Replacement)
        /// Nothing was written; so many bytes are live.
        case notWorthwhile(live: UInt64)
        /// The old log stays.
        case failed(JournalError)
    }

    /// What the loop answers.
    enum Answer: Sendable {
        /// Which records of the question are to stay.
        case live([Bool])
        /// Where the log ends.
        case end(UInt64)
        /// The new log is used.
        case taken
    }

    private struct State {
        var event: Event?
        var answer: Answer?
        var isCancelled: JournalError?
        var done: UInt64 = 0
    }

    private let state = Mutex(State())
    private let bell: Wakeup
    private let report: Wakeup
    let request: CompactionRequest
    private let onFailure: @Sendable (JournalError) -> Never

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - request: what is to be done.
    ///   - file: the log.
    ///   - report: is rung when there is an event.
    ///   - onFailure: ends the process when a sync failed, or it is not known which log has the name.
    init(
        _ request: CompactionRequest, _ file: LogFile, report: Wakeup,
        onFailure: @escaping @Sendable (JournalError) -> Never
    ) throws(SystemError) {
        self.request = request
        self.report = report
        self.onFailure = onFailure
        bell = try Wakeup(blocking: true)
        // The old log has no name when the thread ends: closing it here frees its bytes without keeping the loop.
        try startThread("nearhub-compact") { self.run(file) }
    }

    /// Bytes read in all passes, and how many there are to be read in them.
    var progress: (done: UInt64, total: UInt64) { (state.withLock { $0.done }, request.total) }

    /// What it has to tell, if anything; on the loop.
    func takeEvent() -> Event? {
        state.withLock { state in
            defer { state.event = nil }
            return state.event
        }
    }

    /// Answers what it told last.
    func answer(_ answer: Answer) {
        state.withLock { $0.answer = answer }
        bell.ring()
    }

    /// Ends it, unless it is in its last step; it tells.
    func cancel(_ reason: JournalError) {
        state.withLock { $0.isCancelled = reason }
        bell.ring()
    }

    /// Tells the loop and waits for the answer.
    private func ask(_ event: Event) throws(JournalError) -> Answer {
        try advance(0)
        return try wait(after: event)
    }

    private func wait(after event: Event) throws(JournalError) -> Answer {
        tell(event)
        while true {
            bell.wait()
            let (answer, reason) = state.withLock { state in
                defer { state.answer = nil }
                return (state.answer, state.isCancelled)
            }
            if let answer { return answer }
            if let reason { throw reason }
        }
    }

    private func tell(_ event: Event) {
        state.withLock { $0.event = event }
        report.ring()
    }

    private func run(_ file: LogFile) {
        // The loop and the committer go first where there are few processors; of this thread only (setpriority(2)).
        _ = setpriority(CInt(PRIO_PROCESS.rawValue), 0, 5)
        do throws(JournalError) {
            var copy = CompactionCopy(request, of: file, guidedBy: self)
            guard let replacement = try copy.run() else { return tell(.notWorthwhile(live: copy.live)) }
            // Waits until the loop has let go of the old file. A cancellation comes too late, and what is told stands.
            _ = try? wait(after: .replaced(replacement))
        } catch {
            // Here as everywhere: after a sync that failed nobody knows what the disk holds.
            if error.leavesDoubt { onFailure(error) }
            tell(.failed(error))
        }
    }
}

extension Compaction: CompactionGuide {
    func areLive(_ candidates: [Log.Candidate]) throws(JournalError) -> [Bool] {
        guard case .live(let live) = try ask(.question(candidates)) else { return [] }
        return live
    }

    func end() throws(JournalError) -> UInt64 { try end(.wantsEnd) }

    func lastEnd() throws(JournalError) -> UInt64 { try end(.wantsRest) }

    private func end(_ event: Event) throws(JournalError) -> UInt64 {
        guard case .end(let end) = try ask(event) else { return request.end }
        return end
    }

    func advance(_ bytes: UInt64) throws(JournalError) {
        let reason = state.withLock { state in
            state.done += bytes
            return state.isCancelled
        }
        if let reason { throw reason }
    }
}
