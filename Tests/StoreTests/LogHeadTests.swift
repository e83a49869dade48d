internal import Glibc
internal import JSON
internal import Journal
internal import Store
internal import TestSupport
internal import Testing

@Suite("The head of a log")
struct LogHeadTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `with a new id it is one that recovery takes, and all else stays`() throws {
        do { _ = try Store(try StateDirectory.open(directory.path)) { error in fatalError("\(error)") } }
        let path = "\(directory.path)/devices.jsonl"
        let old = try #require(head(of: path))
        let new = try #require(try LogHead.renewed(old))
        #expect(new.count == old.count)
        let (before, after) = (try JSONValue.parse(old), try JSONValue.parse(new))
        #expect(before["id"] != after["id"])
        #expect(try JSONValue.parse(try #require(try LogHead.renewed(old)))["id"] != after["id"])
        for member: Text in ["mark", "format", "log", "gen"] { #expect(before[member] == after[member]) }
        let file = unsafe open(path, O_WRONLY)
        defer { close(file) }
        #expect(unsafe pwrite(file, new, new.count, 0) == new.count)
        #expect(try Store.inspect(directory.path).devices == 0)
    }

    @Test(arguments: [
        "", "{}", #"{"seq":1,"durable":0,"op":"put","device":{"id":"x"},"xxh3":"0000000000000000"}"#,
        #"{"mark":"head","format":1,"log":"devices","id":"00","gen":1,"xxh3":"0000000000000000"}"#,
    ])
    func `what is no whole head is left alone`(line: String) throws {
        #expect(try LogHead.renewed(Array(line.utf8)) == nil)
    }

    private func head(of path: String) -> [UInt8]? {
        let file = unsafe open(path, O_RDONLY)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(file, &bytes, bytes.count)
        return bytes.prefix(max(0, count)).split(separator: UInt8(ascii: "\n")).first.map(Array.init)
    }
}
