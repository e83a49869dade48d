internal import Audit
internal import EventLoop
internal import Glibc
internal import JSON
internal import TestSupport
internal import Testing

@Suite("The audit log")
struct AuditLogTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func entry(_ number: Int) -> AuditEntry {
        AuditEntry(face: "admin", peer: "uid 0", result: .created, profile: Text("P\(number)"))
    }

    @Test func `lines of a turn are written together before the wait`() throws {
        let log = AuditLog(directory: directory.path) { Issue.record("\($0)") }
        let reader = AuditReader(directory: directory.path)
        log.note(entry(1))
        log.note(entry(2))
        #expect(log.timeout == .zero)
        #expect(try reader.last(10).isEmpty)
        log.prepare()
        #expect(log.timeout == nil)
        #expect(try reader.last(10).count == 2)
    }

    @Test func `a reader misses no line and sees none twice, however files change`() throws {
        let log = AuditLog(directory: directory.path, limit: 500) { Issue.record("\($0)") }
        let reader = AuditReader(directory: directory.path)
        var seen = try reader.last(10)
        for number in 0..<100 {
            log.note(entry(number))
            log.prepare()
            seen += try reader.next()
        }
        #expect(try seen.map(profile) == (0..<100).map { "P\($0)" })
        let names = ["audit.jsonl"] + (1...4).map { "audit.jsonl.\($0)" }
        #expect(directory.names == names)
        // Five files of 500 bytes hold the last lines, in their order.
        let kept = try AuditReader(directory: directory.path).last(1000).map(profile)
        #expect(kept == (0..<100).map { "P\($0)" }.suffix(kept.count))
        #expect((20...30).contains(kept.count))
    }

    @Test func `what a full disk does not take is counted, and no half line stays`() throws {
        var troubles = 0
        let log = AuditLog(directory: directory.path) { _ in troubles += 1 }
        log.note(entry(1))
        log.prepare()
        let path = "\(directory.path)/audit.jsonl"
        unsafe unlink(path)
        unsafe mkdir(path, 0o700)
        log.note(entry(2))
        log.prepare()
        log.note(entry(3))
        log.prepare()
        #expect(troubles == 1)
        #expect(log.timeout.map { $0 > .seconds(4) } == true)
        unsafe rmdir(path)
        log.close()
        #expect(troubles == 2)
        let lines = try AuditReader(directory: directory.path).last(10)
        #expect(try lines.map { try JSONValue.parse($0)["count"]?.integer } == [2])
    }

    private func profile(_ line: [UInt8]) throws -> String {
        try #require(try JSONValue.parse(line)["profile"]?.text).description
    }
}
