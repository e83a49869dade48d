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
    /// What is to be done.
    struct Request: Sendable {
        let name: String
        let addresses: Addresses
        /// Where the log ends now, and the number of its last record there.
        let end: UInt64
        let seq: UInt64
        /// Whether one dead record is enough, or more than half of the log is to be.
        let isForced: Bool
        /// The id of what a record is about.
        let key: @Sendable (JSONValue) -> Text?
        /// Whether the loop knows what is live; otherwise the newest state of each id is.
        let asks: Bool
    }

    /// A log in the old one's place, on disk with its name.
    struct Replacement: Sendable {
        let file: LogFile
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

    enum Answer: Sendable {
        case live([Bool])
        case end(UInt64)
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
    let request: Request
    private let onFailure: @Sendable (JournalError) -> Never

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - request: what is to be done.
    ///   - file: the log.
    ///   - report: is rung when there is an event.
    ///   - onFailure: ends the process when it is not known which log has the name.
    init(
        _ request: Request, _ file: LogFile, report: Wakeup, onFailure: @escaping @Sendable (JournalError) -> Never
    ) throws(SystemError) {
        self.request = request
        self.report = report
        self.onFailure = onFailure
        bell = try Wakeup(blocking: true)
        // The old log has no name when the thread ends: closing it here frees its bytes without keeping the loop.
        try startThread("nearhub-compact") { self.run(file) }
    }

    /// Bytes read in all passes, and how many there are to be read in them.
    var progress: (done: UInt64, total: UInt64) { (state.withLock { $0.done }, 2 * request.end) }

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

    func advance(_ bytes: UInt64) throws(JournalError) {
        let reason = state.withLock { state in
            state.done += bytes
            return state.isCancelled
        }
        if let reason { throw reason }
    }

    /// Tells the loop and waits for the answer.
    func ask(_ event: Event) throws(JournalError) -> Answer {
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
            var copy = try CompactionCopy(self, file, onFailure)
            guard let replacement = try copy.run() else { return tell(.notWorthwhile(live: copy.live)) }
            // Waits until the loop has let go of the old file. A cancellation comes too late, and what is told stands.
            _ = try? wait(after: .replaced(replacement))
        } catch { tell(.failed(error)) }
    }
}
