internal import EventLoop
internal import Glibc
internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

@Suite("Group commit")
struct CommitTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `all lines of a batch say what was durable before it`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        for count in [2, 1, 3] {
            for _ in 0..<count { try log.put("x") }
            try journal.flush()
        }
        var durable: [UInt64] = []
        _ = try Log.verify(directory: directory.path, name: "devices") { record, _ in durable.append(record.durable) }
        #expect(durable == [0, 0, 2, 3, 3, 3])
    }

    @Test func `a record is read while it is staged, in flight and written`() throws {
        let log = try open(directory).log
        var offsets = [try log.put("first"), try log.put("second")]
        let batch = try #require(log.beginCommit(syncing: false))
        offsets += [try log.put("third"), try log.put("fourth")]
        func read() throws -> [Record] { try offsets.map { try log.read(at: $0) } }
        #expect(try read().map(\.seq) == [1, 2, 3, 4])
        #expect(try read().map(\.durable) == [0, 0, 2, 2])
        #expect(log.durableSeq == 0)
        try batch.file.write(batch.bytes, at: batch.offset)
        log.endCommit()
        #expect(log.durableSeq == 2)
        #expect(try read().map(\.offset) == offsets)
        #expect(try read()[3].json["device"] == .object(JSONObject([.init(name: "id", value: .text("fourth"))])))
        for offset in [0, 1, offsets[3] + 1, log.size + 1, log.size + 10_000, .max] {
            #expect(throws: JournalError.self) { try log.read(at: offset) }
        }
    }

    @Test func `records are staged and read while the committer writes`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        let loop = try EventLoop()
        var reported: [UInt64] = []
        journal.onDurable = { reported.append(journal.durablePosition) }
        try loop.add(journal)
        var offsets: [UInt64] = []
        while offsets.count < 5000 {
            for _ in 0..<7 { offsets.append(try log.put("device \(offsets.count + 1)")) }
            if offsets.count % 5 == 0 { try loop.turn() } else { journal.prepare() }
            let index = offsets.count * 31 % offsets.count
            #expect(try log.read(at: offsets[index]).seq == UInt64(index + 1))
            #expect(try log.read(at: offsets[offsets.count - 1]).seq == journal.position)
        }
        while journal.durablePosition < journal.position { try loop.turn() }
        #expect(reported == reported.sorted() && reported.last == UInt64(offsets.count))
        let again = try open(directory)
        #expect(again.seqs == Array(1...UInt64(offsets.count)))
        #expect(again.recovery.torn == nil)
    }

    @Test func `two buffers are enough`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        var places: Set<UInt> = []
        for round in 0..<50 {
            for _ in 0..<20 { try log.put("x") }
            if round >= 4 {
                places.insert(unsafe log.staging.bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) })
            }
            try journal.flush()
        }
        #expect(places.count <= 2)
    }

    @Test func `a mark goes out without a sync of its own, and with one at the stop`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        try log.put("x")
        try journal.flush()
        log.mark(settled: 1)
        #expect(try #require(log.beginCommit(syncing: false)).syncs == false)
        log.endCommit()
        #expect(log.beginCommit(syncing: false) == nil)
        #expect(try #require(log.beginCommit(syncing: true)).syncs)
        log.endCommit()
        #expect(log.beginCommit(syncing: true) == nil)
        #expect(journal.position == 1 && journal.durablePosition == 1)
    }

    @Test func `what a clean stop leaves is opened without a write`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        for _ in 0..<5 { try log.put("x") }
        try journal.flush()
        log.mark(settled: 5)
        try journal.flush()
        let bytes = try directory.bytes()
        #expect(UInt64(bytes.count) == log.size)
        let again = try open(directory)
        #expect(again.recovery.rewrittenFrom == nil && again.recovery.torn == nil)
        #expect(again.log.settled == 5)
        #expect(try directory.bytes() == bytes)
    }

    @Test func `positions count over all logs`() throws {
        let devices = try open(directory).log
        let profiles = try Log.open(directory: directory.path, name: "profiles") { _, _ in }.log
        let journal = try journal([profiles, devices])
        var calls = 0
        journal.onDurable = { calls += 1 }
        try profiles.put("p")
        try devices.put("d")
        #expect(journal.position == 2 && journal.durablePosition == 0)
        try journal.flush()
        #expect(journal.durablePosition == 2 && calls == 1)
        try devices.put("d")
        #expect(journal.position == 3)
        try journal.flush()
        try journal.flush()
        #expect(journal.durablePosition == 3 && calls == 2)
    }

    @Test func `listings go in file order, marks left out`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        for _ in 0..<5 {
            try log.put("x")
            log.mark()
            try journal.flush()
        }
        try log.put("staged")
        var pages: [[UInt64]] = []
        var next: UInt64? = 0
        while let offset = next {
            var page: [UInt64] = []
            next = try log.records(from: offset, limit: 2) { page.append($0.seq) }
            pages.append(page)
        }
        #expect(pages == [[1, 2], [3, 4], [5]])
        #expect(throws: JournalError(.noLine(offset: 7), file: "\(directory.path)/devices.jsonl")) {
            try log.records(from: 7, limit: 2) { _ in }
        }
        #expect(try log.records(from: .max, limit: 2) { _ in } == nil)
        for seq in 0...7 as ClosedRange<UInt64> {
            var page: [UInt64] = []
            _ = try log.records(after: seq, limit: 9, damaged: { _ in }) { page.append($0.seq) }
            #expect(page == (1...5).filter { $0 > seq })
        }
    }

    @Test func `a record that rots while the hub runs is named, not served`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        let offset = try log.put("good")
        try journal.flush()
        let file = try LogFile("\(directory.path)/devices.jsonl", O_RDWR)
        try file.write([UInt8(ascii: "b")], at: offset + 72)
        let damage = JournalError.Kind.damaged(offset: offset, line: nil, why: "no whole record here")
        #expect(throws: JournalError(damage, file: file.path)) { try log.read(at: offset) }
        #expect(throws: JournalError.self) { try log.records(from: 0, limit: 9) { _ in } }
        _ = try log.put("next")
        try journal.flush()
        var (seqs, damaged) = ([] as [UInt64], [] as [JournalError])
        #expect(try log.records(after: 0, limit: 9, damaged: { damaged.append($0) }) { seqs.append($0.seq) } == nil)
        #expect(seqs == [2] && damaged.count == 1)
    }

    @Test func `a failed write of the first log stops before the second is written`() async {
        await #expect(processExitsWith: .exitCode(74)) {
            let directory = try TemporaryDirectory()
            let devices = try open(directory).log
            try directory.put(head, "profiles.jsonl")
            let locked = try LogFile("\(directory.path)/profiles.jsonl", O_RDONLY)
            let profiles = Log(name: "profiles", file: locked, seq: 0, size: UInt64(head.count), settled: 0)
            let path = directory.path
            let journal = try Journal([profiles, devices]) { error in
                let size = try? LogFile("\(path)/devices.jsonl", O_RDONLY).size()
                for name in ["devices", "profiles"] { unsafe unlink("\(path)/\(name).jsonl") }
                unsafe rmdir(path)
                exit(
                    size == UInt64(head.count) && "\(error)" == "pwrite \(path)/profiles.jsonl: Bad file descriptor"
                        ? 74 : 1)
            }
            try devices.put("d")
            try profiles.put("p")
            try journal.flush()
        }
    }

    @Test func `a failed sync stops, and marks alone are not synced`() async {
        await #expect(processExitsWith: .exitCode(74)) {
            // The null device takes every write and refuses every sync.
            let null = try LogFile("/dev/null", O_RDWR)
            let log = Log(name: "devices", file: null, seq: 0, size: 0, settled: 0)
            let journal = try Journal([log]) { error in
                exit("\(error)" == "fdatasync /dev/null: Invalid argument" ? 74 : 1)
            }
            let loop = try EventLoop()
            try loop.add(journal)
            log.mark()
            while log.size == 0 { try loop.turn() }
            try log.put("x")
            try journal.flush()
        }
    }
}
