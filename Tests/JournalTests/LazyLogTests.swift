internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

@Suite("A log that is synced lazily")
struct LazyLogTests {
    let directory: TemporaryDirectory
    let log: Log

    init() throws {
        directory = try TemporaryDirectory()
        log = try open(directory).log
        log.isLazy = true
    }

    private func append() throws { _ = try log.append(.put, at: moment) { json in json.member("device", 1) } }

    private func group() -> Bool? {
        guard let batch = log.beginCommit(syncing: false) else { return nil }
        log.endCommit()
        return batch.syncs
    }

    private func durables() -> [UInt64] {
        let lines = log.inFlight + log.staging.bytes
        return lines.split(separator: 0x0A).compactMap { try? JSONValue.parse(Array($0))["durable"]?.unsigned }
    }

    @Test func `writes its records without a sync, and they count as durable`() throws {
        try append()
        #expect(group() == false)
        #expect(log.durableSeq == 1)
        #expect(group() == nil)
    }

    @Test func `syncs once when that is wanted, also with nothing new`() throws {
        try append()
        #expect(group() == false)
        log.wantsSync = true
        #expect(group() == true)
        #expect(!log.wantsSync)
        log.wantsSync = true
        #expect(group() == nil)
        try append()
        #expect(group() == true)
    }

    @Test func `claims in its lines only what was synced`() throws {
        try append()
        #expect(group() == false)
        try append()
        #expect(durables() == [0])
        log.wantsSync = true
        #expect(group() == true)
        try append()
        #expect(durables() == [2])
    }

    @Test func `takes back what was not written`() throws {
        try append()
        #expect(group() == false)
        try append()
        log.wantsSync = true
        _ = log.beginCommit(syncing: false)
        try append()
        log.takeBack()
        #expect(log.seq == 1)
        try append()
        #expect(log.seq == 2)
        #expect(durables() == [0])
    }

    @Test func `is whole after a clean stop`() throws {
        let journal = try journal([log])
        for _ in 0..<3 { try append() }
        try journal.flush()
        #expect(try open(directory).recovery.rewrittenFrom != nil)
        #expect(try open(directory).seqs == [1, 2, 3])
    }
}
