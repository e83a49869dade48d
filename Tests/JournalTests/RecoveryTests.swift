internal import Glibc
internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

@Suite("Recovery of a log")
struct RecoveryTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `a log cut at any byte keeps its whole lines and goes on`() throws {
        for cut in 0...twelve.bytes.count {
            let directory = try TemporaryDirectory()
            try directory.put(Array(twelve.bytes[..<cut]))
            let whole = twelve.lines.filter { $0.end <= cut }
            let expected = Array(1...13).prefix(max(whole.count - 1, 0)).map(UInt64.init)
            let (log, recovery, seqs) = try open(directory)
            #expect(seqs == expected)
            let end = whole.last?.end ?? 0
            #expect(recovery.torn?.length ?? 0 == UInt64(cut - end))
            #expect(recovery.isNew == (cut == 0))
            if let kept = recovery.torn?.kept {
                #expect(kept == "\(directory.path)/devices.jsonl.torn-0")
                #expect(try directory.bytes("devices.jsonl.torn-0") == Array(twelve.bytes[end..<cut]))
            }
            let offset = try log.put("next")
            try journal([log]).flush()
            #expect(try log.read(at: offset).seq == UInt64(seqs.count + 1))
            let second = try open(directory)
            #expect(second.seqs == expected + [UInt64(seqs.count + 1)])
            let bytes = try directory.bytes()
            let third = try open(directory)
            #expect(third.recovery.torn == nil && third.recovery.rewrittenFrom == nil)
            #expect(third.seqs == second.seqs)
            #expect(try directory.bytes() == bytes)
        }
    }

    @Test func `a changed byte anywhere is damage where a later line proves it, else an unfinished batch`() throws {
        for index in twelve.bytes.indices {
            for mask: UInt8 in [0x01, 0x28, 0x80] {
                var bytes = twelve.bytes
                bytes[index] ^= mask
                try directory.put(bytes)
                let found = try verdict(directory)
                #expect(found == Verdict(bytes), "byte \(index), mask \(mask)")
                // Lines 1 to 7 are proven by the last batch, the head by anything; the last batch by nothing.
                let hit = twelve.lines.firstIndex { $0.end > index } ?? 0
                let start = twelve.lines[hit].start
                #expect(found == (hit <= 7 ? .damaged(at: start) : .good(seqs: Array(1..<Int64(hit)), end: start)))
            }
        }
    }

    @Test func `damage names its line`() throws {
        var bytes = twelve.bytes
        bytes[twelve.lines[3].start + 30] ^= 4
        try directory.put(bytes)
        let error = #expect(throws: JournalError.self) { try open(directory) }
        let start = twelve.lines[3].start
        #expect(
            error?.kind
                == .damaged(
                    offset: UInt64(start), line: 4, why: "no whole line, though records up to seq 7 were on disk"))
        #expect(try directory.bytes() == bytes)
        #expect(
            error?.description.hasPrefix("\(directory.path)/devices.jsonl: damaged at byte \(start), line 4") == true)
    }

    @Test func `a damaged newline does not hide the proof behind it`() throws {
        let first = record(1, durable: 0)
        var bytes = head + first + record(2, durable: 1)
        bytes[head.count + first.count - 1] = 0x20
        try directory.put(bytes)
        let why = "no whole line, though records up to seq 1 were on disk"
        #expect(try refusal(directory) == .damaged(offset: UInt64(head.count), line: 2, why: why))
    }

    @Test func `the proof is found behind a stretch longer than any line`() throws {
        let stretch = [UInt8](repeating: UInt8(ascii: "{"), count: 3 << 20)
        try directory.put(head + stretch + record(1, durable: 1))
        let why = "no whole line, though records up to seq 1 were on disk"
        #expect(try refusal(directory) == .damaged(offset: UInt64(head.count), line: 2, why: why))
        try directory.put(head + stretch + record(2, durable: 0))
        #expect(try open(directory).recovery.torn?.length == UInt64(stretch.count + record(2, durable: 0).count))
    }

    @Test func `a whole line longer than 128 KiB is not a line`() throws {
        let long = record(1, durable: 0, id: String(repeating: "x", count: Line.limit))
        try directory.put(head + long)
        #expect(try open(directory).recovery.torn?.offset == UInt64(head.count))
        try directory.put(head + long + record(2, durable: 1))
        let why = "no whole line, though records up to seq 1 were on disk"
        #expect(try refusal(directory) == .damaged(offset: UInt64(head.count), line: 2, why: why))
    }

    @Test(arguments: [
        [UInt8](repeating: 0, count: 5000), Array("\n\n".utf8), record(13, durable: 12).dropLast(),
        record(14, durable: 11) + record(13, durable: 11), record(12, durable: 11),
    ])
    func `what no line proves is cut off and kept`(tail: [UInt8]) throws {
        let good = twelve.bytes + line(#""mark":"sync","durable":11"#)
        try directory.put(good + tail)
        let (log, recovery, seqs) = try open(directory)
        #expect(seqs == Array(1...12))
        #expect(
            recovery.torn
                == .init(
                    offset: UInt64(good.count), length: UInt64(tail.count),
                    kept: "\(directory.path)/devices.jsonl.torn-0"))
        #expect(recovery.rewrittenFrom == UInt64(twelve.lines[12].start))
        #expect(log.durableSeq == 12)
        #expect(try directory.bytes("devices.jsonl.torn-0") == tail)
        var status = stat()
        unsafe stat("\(directory.path)/devices.jsonl.torn-0", &status)
        #expect(status.st_mode & 0o777 == 0o600)
        #expect(try directory.bytes() == good + line(#""mark":"sync","durable":12"#))
    }

    @Test func `each torn end is kept in a file of its own`() throws {
        for number in 0..<3 {
            try directory.put(head + Array("torn \(number)".utf8))
            #expect(try open(directory).recovery.torn?.kept?.hasSuffix(".torn-\(number)") == true)
        }
        #expect(directory.names == ["devices.jsonl"] + (0..<3).map { "devices.jsonl.torn-\($0)" })
    }

    @Test func `a mark proves the newest line`() throws {
        let mark = line(#""mark":"sync","durable":12,"settled":9"#)
        try directory.put(twelve.bytes + mark)
        let (log, recovery, _) = try open(directory)
        #expect(recovery.rewrittenFrom == nil)
        #expect(log.settled == 9)
        #expect(try directory.bytes() == twelve.bytes + mark)
        try directory.put(Array(twelve.bytes[..<twelve.lines[12].start]) + mark)
        #expect(
            try refusal(directory)
                == .damaged(
                    offset: UInt64(twelve.lines[12].start + mark.count), line: 14,
                    why: "the log ends at seq 11, though records up to seq 12 were on disk"))
    }

    @Test func `a torn first write leaves an empty log`() throws {
        try directory.put(Array(head.dropLast(20)))
        let (_, recovery, seqs) = try open(directory)
        #expect(seqs.isEmpty)
        #expect(recovery.torn?.length == UInt64(head.count - 20))
        #expect(try directory.bytes().count == head.count)
        try directory.put([UInt8](repeating: 0, count: head.count + 1))
        #expect(try refusal(directory) == .damaged(offset: 0, line: 1, why: "no whole line"))
    }

    @Test func `the head of another log is refused`() throws {
        try directory.put(head, "profiles.jsonl")
        #expect(throws: JournalError.self) { try Log.open(directory: directory.path, name: "profiles") { _, _ in } }
    }

    @Test(arguments: [
        line(#""mark":"head","format":2,"log":"devices","form":"new""#), head + line(#""mark":"epoch","of":1"#),
        head + line(#""seq":1,"durable":0,"op":"move""#), head + Array("x\n".utf8) + line(#""mark":"epoch""#),
    ])
    func `what a newer nearhub wrote is refused as such and left alone`(bytes: [UInt8]) throws {
        try directory.put(bytes)
        let kind = try refusal(directory)
        guard case .newer = kind else { Issue.record("\(String(describing: kind))"); return }
        #expect(try directory.bytes() == bytes)
    }

    @Test func `an unfinished compaction is removed`() throws {
        try directory.put(twelve.bytes)
        try directory.put(head, "devices.jsonl.new")
        #expect(try open(directory).seqs.count == 12)
        #expect(directory.names == ["devices.jsonl"])
    }

    @Test func `verify changes nothing`() throws {
        let recovery = try Log.verify(directory: directory.path, name: "devices") { _, _ in }
        #expect(recovery.isNew)
        #expect(directory.names.isEmpty)
        try directory.put(twelve.bytes + Array("torn".utf8))
        #expect(try verdict(directory) == .good(seqs: Array(1...12), end: twelve.bytes.count))
        #expect(directory.names == ["devices.jsonl"])
        #expect(try directory.bytes().count == twelve.bytes.count + 4)
    }

    @Test func `what replay throws ends the opening`() throws {
        try directory.put(twelve.bytes)
        let refused = JournalError(.exhausted, file: "replay")
        #expect(throws: refused) {
            try Log.open(directory: directory.path, name: "devices") { (_, _) throws(JournalError) in throw refused }
        }
    }

    @Test func `the last number is 2 to the 53 less 1`() throws {
        let last: UInt64 = 9_007_199_254_740_991
        let compacted = line(#""mark":"head","format":1,"log":"devices","id":"5f","gen":2"#)
        try directory.put(compacted + line(#""mark":"seal","upto":\#(last - 1),"lines":0"#))
        let log = try open(directory).log
        try log.put("last")
        #expect(throws: JournalError(.exhausted, file: "\(directory.path)/devices.jsonl")) { try log.put("none") }
        try journal([log]).flush()
        #expect(try open(directory).seqs == [last])
    }
}

@Suite("A log that compaction wrote")
struct CompactedLogTests {
    static let head = line(#""mark":"head","format":1,"log":"devices","id":"5f0c","gen":3"#)
    static let copied = record(3, durable: 1) + record(41, durable: 40)
    static func seal(_ upto: Int, _ lines: Int) -> [UInt8] { line(#""mark":"seal","upto":\#(upto),"lines":\#(lines)"#) }

    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `has gaps up to its seal`() throws {
        let bytes = Self.head + Self.copied + Self.seal(44, 2)
        try directory.put(bytes + record(45, durable: 44))
        let (log, recovery, seqs) = try open(directory)
        #expect(seqs == [3, 41, 45])
        #expect(recovery.rewrittenFrom == UInt64(bytes.count))
        #expect(log.seq == 45)
    }

    @Test(arguments: [
        head + copied, head + copied + record(42, durable: 41), head + copied + seal(41, 3),
        head + copied + seal(40, 2),
        head + copied + seal(41, 2) + seal(41, 2), head + copied + seal(41, 2) + record(43, durable: 42),
        head + copied + seal(41, 2) + head, head + record(41, durable: 40) + record(3, durable: 1) + seal(41, 2),
    ])
    func `without a right seal is damage`(bytes: [UInt8]) throws {
        try directory.put(bytes)
        guard case .damaged = try refusal(directory) else { Issue.record("not refused"); return }
    }
}
