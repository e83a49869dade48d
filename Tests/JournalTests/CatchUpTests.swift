internal import EventLoop
internal import Glibc
internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

/// More is appended to a log while it is written anew than a slow disk copies meanwhile.
@Suite("A compaction that catches up")
struct CatchUpTests {
    private static let rounds = 8
    /// More rounds than there may be.
    private static let endless = 20

    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `after eight rounds it takes what is left at once, if that is not much`() throws {
        let (log, ended) = try compact(growing: Self.endless, by: 1)
        #expect(ended.rounds == Self.rounds)
        guard case .replaced(let size)? = ended.outcome else { Issue.record("\(ended)"); return }
        #expect(size < log.size)
        #expect(try open(directory).seqs == Array(2...UInt64(3 + Self.rounds)))
    }

    @Test func `it gives up if that is more than 4 MiB, and the old log stays`() throws {
        let (log, ended) = try compact(growing: Self.endless, by: 45)
        #expect(ended.rounds == Self.rounds)
        guard case .failed(let error)? = ended.outcome, case .io(let cause) = error.kind else {
            Issue.record("\(ended)"); return
        }
        #expect(cause.code == EBUSY)
        #expect(directory.names == ["devices.jsonl"])
        #expect(try open(directory).seqs == Array(1...log.seq))
    }

    @Test func `it ends as soon as less than 64 KiB is left`() throws {
        let (_, ended) = try compact(growing: 3, by: 1)
        #expect(ended.rounds == 4)
        guard case .replaced? = ended.outcome else { Issue.record("\(ended)"); return }
        #expect(try open(directory).seqs == Array(2...6))
    }

    private enum Outcome {
        case replaced(size: UInt64)
        case failed(JournalError)
        case other
    }

    /// Writes a log anew whose first record is dead, and answers what is asked, as the loop does.
    ///
    /// - Parameters:
    ///   - turns: how often the log has grown when it is asked where it ends.
    ///   - records: by how many of 100 KB each time.
    /// - Returns: how often that was asked before nothing more was to be written, and how it ended.
    private func compact(growing turns: Int, by records: Int) throws -> (Log, (rounds: Int, outcome: Outcome?)) {
        let log = try open(directory).log
        let journal = try journal([log])
        let dead = try log.put("x")
        for id in ["y", "x"] { try log.put(id) }
        try journal.flush()
        let request = CompactionRequest(
            name: log.name, addresses: log.addresses, end: log.size, seq: log.durableSeq, isForced: true,
            key: { $0["device"]?["id"]?.text }, asks: true)
        let job = try Compaction(request, log.file, report: try Wakeup()) { error in fatalError("\(error)") }
        let deadline = Duration.monotonic + .seconds(60)
        var rounds = 0
        while .monotonic < deadline {
            switch job.takeEvent() {
            case nil: usleep(200)
            case .question(let candidates)?: job.answer(.live(candidates.map { $0.address != dead }))
            case .wantsEnd?:
                rounds += 1
                for _ in 0..<(rounds <= turns ? records : 0) { try log.put(String(repeating: "g", count: 100_000)) }
                try journal.flush()
                job.answer(.end(log.size))
            case .wantsRest?: job.answer(.end(log.size))
            case .replaced(let replacement)?:
                job.answer(.taken)
                return (log, (rounds, .replaced(size: replacement.size)))
            case .failed(let error)?: return (log, (rounds, .failed(error)))
            case .notWorthwhile?: return (log, (rounds, .other))
            }
        }
        return (log, (rounds, nil))
    }
}
