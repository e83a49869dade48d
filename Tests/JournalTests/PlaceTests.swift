internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

@Suite("A place in a log")
struct PlaceTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A log of this many records, each about 200 bytes long, with marks between them.
    private func filled(_ count: UInt64) throws -> Log {
        var bytes = head
        for seq in 1...count {
            bytes += record(seq, durable: seq - 1, id: String(repeating: "x", count: Int(seq % 97)))
            if seq.isMultiple(of: 7) { bytes.appendSyncMark(durable: seq, settled: nil) }
        }
        try directory.put(bytes)
        return try open(directory).log
    }

    private func seqs(_ log: Log, _ place: inout Log.Place) throws -> [UInt64] {
        var found: [UInt64] = []
        while case .record(let record)? = try log.next(after: &place) { found.append(record.seq) }
        return found
    }

    @Test func `is found by its number wherever it is`() throws {
        let log = try filled(700)
        for seq: UInt64 in [0, 1, 6, 7, 8, 350, 698, 699, 700, 9000] {
            var place = Log.Place(after: seq)
            #expect(try seqs(log, &place) == (seq < 700 ? Array((seq + 1)...700) : []))
        }
    }

    @Test func `says where the next line is`() throws {
        let log = try filled(700)
        var place = Log.Place(after: 300)
        let offset = try log.address(of: place)
        guard case .record(let next)? = try log.next(after: &place) else { throw Missing() }
        #expect(next.seq == 301)
        #expect(offset <= next.offset && next.offset - offset < 200)
        #expect(try log.address(of: place) > next.offset)
        #expect(try log.address(of: Log.Place(after: 700)) == log.size)
    }

    @Test func `goes on where records came behind it`() throws {
        let log = try filled(3)
        let journal = try journal([log])
        var place = Log.Place(after: 3)
        #expect(try seqs(log, &place) == [])
        _ = try log.append(.put, at: moment) { json in json.member("device", 1) }
        #expect(try seqs(log, &place) == [])
        try journal.flush()
        #expect(try seqs(log, &place) == [4])
    }

    @Test func `passes over a damaged line and says so`() throws {
        let log = try filled(100)
        var bytes = try directory.bytes()
        var place = Log.Place(after: 49)
        bytes[Int(try log.address(of: place)) + 60] ^= 1
        try directory.put(bytes)
        let file = try LogFile("\(directory.path)/devices.jsonl", 2)
        let damaged = Log(name: "devices", file: file, seq: 100, size: log.size, settled: 0)
        place = Log.Place(after: 48)
        guard case .record(let before)? = try damaged.next(after: &place) else { throw Missing() }
        #expect(before.seq == 49)
        guard case .damaged? = try damaged.next(after: &place) else { throw Missing() }
        #expect(try seqs(damaged, &place) == Array(51...100))
        #expect(try damaged.address(of: Log.Place(after: 50)) > 0)
    }

    @Test(.timeLimit(.minutes(1))) func `is an error in a file that somebody cut short`() throws {
        let log = try filled(100)
        try directory.put(Array(try directory.bytes().prefix(1500)))
        for seq: UInt64 in [20, 99] {
            var place = Log.Place(after: seq)
            #expect(throws: JournalError.self) { try log.next(after: &place) }
        }
    }

    @Test func `knows the log by its id`() throws {
        #expect(try filled(1).id() == "5f0c0123456789abcdef0123456789ab")
        #expect(try Log.id(directory: directory.path, name: "devices") == "5f0c0123456789abcdef0123456789ab")
        #expect(try Log.id(directory: directory.path, name: "none") == nil)
    }
}

private struct Missing: Error {}
