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

    /// The limit that leaves no room is the process's, so the test has one of its own.
    @Test func `what a full disk does not take is counted, and no half line stays`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            var troubles: [Int?] = []
            let log = AuditLog(directory: directory.path) { trouble in
                if case .over(let dropped) = trouble { troubles.append(dropped) } else { troubles.append(nil) }
            }
            let reader = AuditReader(directory: directory.path)
            log.note(entry(1))
            log.prepare()
            let path = "\(directory.path)/audit.jsonl"
            let size = try #require(length(of: path))
            // Room for half a line.
            FileSizeLimit.set(UInt64(size) + 40)
            log.note(entry(2))
            log.prepare()
            #expect(length(of: path) == size)
            log.note(entry(3))
            log.prepare()
            #expect(troubles == [nil])
            #expect(log.timeout.map { $0 > .seconds(4) } == true)
            FileSizeLimit.set(nil)
            log.note(entry(4))
            log.close()
            #expect(troubles == [nil, 2])
            let lines = try reader.last(10).map { try JSONValue.parse($0) }
            #expect(lines.map { $0["profile"]?.text } == ["P1", nil, "P4"])
            #expect(lines.map { $0["count"]?.integer } == [nil, 2, nil])
        }
    }

    private func profile(_ line: [UInt8]) throws -> String {
        try #require(try JSONValue.parse(line)["profile"]?.text).description
    }
}

private func entry(_ number: Int) -> AuditEntry {
    AuditEntry(face: "admin", peer: "uid 0", result: .created, profile: Text("P\(number)"))
}

private func length(of path: String) -> off_t? {
    var info = stat()
    return unsafe stat(path, &info) == 0 ? info.st_size : nil
}
