internal import EventLoop
internal import Glibc
internal import JSON
internal import Provisioning
internal import Store
internal import TestSupport
internal import Testing

@testable internal import Upstream

@Suite("The cursor over the device log")
struct FeedTests {
    let directory: TemporaryDirectory
    private let site: Site

    init() throws {
        directory = try TemporaryDirectory()
        site = try Site(directory)
    }

    private func feed(after seq: UInt64 = 0, isForProvisioned: Bool = false) -> Feed {
        Feed(site.store, after: seq, isForProvisioned: isForProvisioned)
    }

    /// The next device as `seq id`.
    private func next(_ feed: inout Feed) throws -> String? {
        let change = try feed.next(until: .monotonic + .seconds(1), name: { $0.name })
        return change.map { change in
            if case .deleted = change.content { return "\(change.seq) -\(change.device)" }
            return "\(change.seq) \(change.upstreamName)"
        }
    }

    @Test func `devices come in the order of the log, and the cursor follows the lowest that is not settled`() throws {
        try site.put(device(1), device(2), device(3))
        var feed = feed()
        #expect(try [next(&feed), next(&feed), next(&feed), next(&feed)] == ["1 D1", "2 D2", "3 D3", nil])
        #expect(feed.isAtEnd && feed.inFlight == 3)
        #expect(feed.cursor == 0)
        #expect(feed.settle("i2") == 2)
        #expect(feed.cursor == 0)
        #expect(feed.settle("i1") == 1)
        #expect(feed.cursor == 2)
        #expect(feed.settle("i3") == 3)
        #expect(feed.cursor == 3 && feed.isEmpty)
        #expect(feed.settle("i3") == nil)
    }

    @Test func `what came later is found when it is on disk`() throws {
        var feed = feed()
        try site.store.put(device(1), now: 1)
        #expect(try next(&feed) == nil)
        try site.settle()
        #expect(try next(&feed) == "1 D1")
    }

    @Test func `only the newest state of a device is told`() throws {
        try site.put(device(1), device(2), device(1, token: "a"), device(1, token: "b"))
        var feed = feed()
        #expect(try [next(&feed), next(&feed), next(&feed)] == ["2 D2", "4 D1", nil])
    }

    @Test func `a device in flight waits for its turn, and then comes as it is by then`() throws {
        try site.put(device(1), device(2))
        var feed = feed()
        #expect(try [next(&feed), next(&feed)] == ["1 D1", "2 D2"])
        try site.put(device(1, token: "a"))
        try site.put(device(1, token: "b"), device(3))
        #expect(try next(&feed) == "5 D3")
        #expect(try next(&feed) == nil)
        #expect(feed.settle("i2") == 2 && feed.settle("i3") == 5)
        #expect(feed.cursor == 0)
        #expect(feed.settle("i1") == 1)
        // The line that was read while the device was in flight holds the cursor.
        #expect(feed.cursor == 3)
        #expect(try next(&feed) == "4 D1")
        #expect(feed.cursor == 3)
        _ = feed.settle("i1")
        #expect(feed.cursor == 5)
        #expect(try next(&feed) == nil)
        #expect(feed.isEmpty)
    }

    @Test func `a rewind voids what is in flight and never goes forward`() throws {
        try site.put(device(1), device(2), device(3))
        var feed = feed()
        for _ in 0..<3 { _ = try next(&feed) }
        _ = feed.settle("i1")
        feed.rewind(to: .max)
        #expect(feed.inFlight == 0 && feed.cursor == 1)
        #expect(try [next(&feed), next(&feed), next(&feed)] == ["2 D2", "3 D3", nil])
        feed.rewind(to: 0)
        #expect(try next(&feed) == "1 D1")
    }

    @Test func `devices that were never provisioned are passed over where they must be`() throws {
        try site.put(device(1, isProvisioned: false), device(2))
        var all = feed()
        #expect(try next(&all) == "1 D1")
        var provisioned = feed(isForProvisioned: true)
        #expect(try [next(&provisioned), next(&provisioned)] == ["2 D2", nil])
        #expect(provisioned.cursor == 1)
    }

    @Test func `a device that is to be told again comes first and does not hold the cursor`() throws {
        try site.put(device(1), device(2), device(3))
        site.store.note(SyncState(.pending, seq: 1, since: 1), of: "i1")
        site.store.note(SyncState(.refused, seq: 2, since: 1), of: "i2")
        var feed = feed(after: 2)
        #expect(try [next(&feed), next(&feed), next(&feed)] == ["1 D1", "3 D3", nil])
        _ = feed.settle("i3")
        #expect(feed.cursor == 3)
        #expect(!feed.isEmpty)
    }

    @Test func `how many are pending is known without reading`() throws {
        try site.put(device(1), device(2), device(3), device(1, token: "a"))
        var feed = feed()
        #expect(try feed.pending() == 3)
        _ = try next(&feed)
        #expect(try feed.pending() == 2)
        #expect(feed.isPending("i1", 4) && !feed.isPending("i2", 2))
    }

    @Test func `a change that may still be taken back is not taken for granted`() throws {
        try site.put(device(1), device(2))
        try site.store.put(device(1, token: "a"), now: 1)
        var feed = feed()
        #expect(try next(&feed) == nil)
        try site.settle()
        #expect(try [next(&feed), next(&feed)] == ["2 D2", "3 D1"])
    }

    /// It was forgotten: its older state, news again when the newest one was taken back, was never told.
    @Test func `a device that is to be told next is not forgotten while a newer line of it may be taken back`() throws {
        try site.put(device(1))
        var feed = feed()
        #expect(try next(&feed) == "1 D1")
        try site.put(device(1, token: "a"))
        #expect(try next(&feed) == nil)
        #expect(feed.settle("i1") == 1)
        try site.store.put(device(1, token: "b"), now: 1)
        #expect(try next(&feed) == nil)
        #expect(feed.cursor == 1 && !feed.isEmpty && feed.isPending("i1", 2))
        try site.settle()
        #expect(try [next(&feed), next(&feed)] == ["3 D1", nil])
        #expect(feed.settle("i1") == 3 && feed.cursor == 3)
    }

    // MARK: - Devices that have ended

    @Test func `a device that has ended is told once its end is on disk`() throws {
        try site.put(device(1), device(2))
        var feed = feed()
        #expect(try [next(&feed), next(&feed)] == ["1 D1", "2 D2"])
        _ = feed.settle("i2")
        try site.store.delete(device(1), now: 1)
        #expect(try next(&feed) == nil)
        // It is given back while its end may still be taken back.
        feed.release("i1")
        #expect(try next(&feed) == nil)
        #expect(feed.cursor == 0 && !feed.isEmpty)
        try site.settle()
        #expect(try [next(&feed), next(&feed)] == ["1 -i1", nil])
        _ = feed.settle("i1")
        #expect(try next(&feed) == "3 -i1")
    }

    /// It was passed over, since the index did not know it any more; and never told when its end was taken back.
    @Test func `a device is not passed over while its end may still be taken back`() throws {
        try site.put(device(1), device(2))
        var feed = feed()
        try site.store.delete(device(1), now: 1)
        #expect(try next(&feed) == nil)
        #expect(feed.cursor == 0)
        try site.settle()
        #expect(try [next(&feed), next(&feed)] == ["2 D2", "3 -i1"])
    }

    /// It was pending for ever: nothing was left of it that could be told.
    @Test func `the end of a device is told again`() throws {
        try site.put(device(1))
        try site.store.delete(device(1), now: 1)
        try site.settle()
        site.store.note(SyncState(.pending, seq: 2, since: 1), of: "i1")
        var feed = feed(after: 2)
        #expect(try [next(&feed), next(&feed)] == ["2 -i1", nil])
    }

    @Test func `a device that only upstream has is told as gone, in whatever state the link is`() throws {
        try site.put(device(1))
        var feed = feed(after: 1)
        feed.examine("i1")
        feed.examine("ghost")
        #expect(try [next(&feed), next(&feed)] == ["1 -ghost", nil])
        feed.rewind(to: .max)
        #expect(try next(&feed) == "1 -ghost")
        _ = feed.settle("ghost")
        #expect(try next(&feed) == nil)
        #expect(feed.isEmpty)
    }

    /// ThingsBoard cannot be told so, and refused what it never knew.
    @Test func `an upstream that was told of nothing yet does not hear of devices that have ended`() throws {
        try site.put(device(1), device(2), device(3))
        for number in [1, 2] { try site.store.delete(device(number), now: 1) }
        try site.settle()
        // Of this one it was told in another way.
        site.store.note(SyncState(.refused, seq: 2, since: 1), of: "i2")
        var feed = feed(isForProvisioned: true)
        #expect(try [next(&feed), next(&feed), next(&feed)] == ["3 D3", "5 -i2", nil])
        #expect(feed.settle("i3") == 3)
        try site.store.delete(device(3), now: 1)
        try site.settle()
        #expect(try [next(&feed), next(&feed)] == ["6 -i3", nil])
        var later = self.feed(after: 3, isForProvisioned: true)
        #expect(try next(&later) == "4 -i1")
        // Others hear of all: a broker may keep anything.
        var journal = self.feed()
        #expect(try [next(&journal), next(&journal)] == ["4 -i1", "5 -i2"])
    }

    // MARK: - What comes again

    @Test func `a device that was not told after all comes again as it is by then, before others`() throws {
        try site.put(device(1), device(2))
        var feed = feed()
        #expect(try [next(&feed), next(&feed)] == ["1 D1", "2 D2"])
        feed.release("i1")
        #expect(feed.inFlight == 1 && feed.cursor == 0)
        #expect(try [next(&feed), next(&feed)] == ["1 D1", nil])
        try site.put(device(1, token: "a"), device(3))
        feed.release("i1")
        #expect(try [next(&feed), next(&feed)] == ["3 D1", "4 D3"])
        // One that is told again does not hold the cursor.
        for id: Text in ["i1", "i2", "i3"] { _ = feed.settle(id) }
        site.store.note(SyncState(.pending, seq: 1, since: 1), of: "i1")
        feed.retry("i1")
        #expect(try next(&feed) == "3 D1")
        feed.release("i1")
        #expect(feed.cursor == 4)
        #expect(try next(&feed) == "3 D1")
    }

    @Test func `a device that waits keeps nobody waiting, and comes when its time has come`() throws {
        try site.put(device(1), device(2))
        var feed = feed()
        #expect(try next(&feed) == "1 D1")
        _ = feed.settle("i1")
        site.store.note(SyncState(.pending, seq: 1, since: 1), of: "i1")
        feed.retry("i1", after: .milliseconds(50))
        #expect(try [next(&feed), next(&feed)] == ["2 D2", nil])
        feed.rewind(to: .max)
        #expect(try [next(&feed), next(&feed)] == ["2 D2", nil])
        let end = try #require(feed.deadline)
        while .monotonic < end {}
        #expect(try [next(&feed), next(&feed)] == ["1 D1", nil])
        #expect(feed.deadline == nil)
    }

    /// Each link that broke held up the loop: all that were to be told again were looked for and sorted anew.
    @Test func `a rewind costs no more the more devices are to be told again`() throws {
        try site.put(device(1), device(2))
        for number in 1...20_000 {
            site.store.note(SyncState(.pending, seq: UInt64(number), since: 1), of: Text("i\(number)"))
        }
        var feed = feed(after: 2)
        #expect(try [next(&feed), next(&feed)] == ["1 D1", "2 D2"])
        let costs = (0..<5).map { _ in
            let start = Duration.monotonic
            feed.rewind(to: .max)
            return Duration.monotonic - start
        }
        #expect(costs.min().map { $0 < .milliseconds(2) } == true)
        #expect(try [next(&feed), next(&feed)] == ["1 D1", "2 D2"])
        #expect(feed.settle("i1") == 1)
        feed.rewind(to: .max)
        site.store.note(nil, of: "i1")
        #expect(try next(&feed) == "2 D2")
    }

    /// A turn of the loop took as long as there were devices to be told again.
    @Test func `devices that are to be told again are looked at no longer than allowed`() throws {
        for number in 1...500 { try site.store.put(device(number), now: 1) }
        try site.settle()
        var feed = feed(after: 500)
        // None of them is pending any more.
        for number in 1...500 { feed.retry(Text("i\(number)")) }
        #expect(try feed.next(until: .monotonic, name: { $0.name }) == nil)
        #expect(feed.retries.count == 500 && !feed.isAtEnd && !feed.isEmpty)
        #expect(try next(&feed) == nil)
        #expect(feed.isEmpty)
    }

    // MARK: - A disk that fails reads

    /// Writes over a byte of the line of a device, or the byte that was there.
    private func spoil(_ name: String, _ byte: UInt8? = nil) throws -> UInt8 {
        let path = "\(directory.path)/devices.jsonl"
        let file = unsafe open(path, O_RDWR)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = unsafe pread(file, &bytes, bytes.count, 0)
        let place = try #require(bytes[..<count].firstRange(of: Array(#"name":"\#(name)"#.utf8))).lowerBound + 7
        var new = byte ?? UInt8(ascii: "?")
        #expect(unsafe pwrite(file, &new, 1, off_t(place)) == 1)
        return bytes[place]
    }

    /// Nobody ever heard of it.
    @Test func `a damaged line is passed over, and somebody hears of it once`() throws {
        try site.put(device(1), device(2))
        var feed = feed()
        _ = try spoil("D1")
        for _ in 0..<2 {
            #expect(try [next(&feed), next(&feed)] == ["2 D2", nil])
            feed.rewind(to: 0)
        }
        let found = feed.takeFault()
        let fault = try #require(found)
        #expect("\(fault)".hasPrefix("devices.jsonl: damaged at byte "))
        #expect(feed.takeFault() == nil)
        // It may be on that line.
        feed.examine("ghost")
        #expect(feed.hasGhosts)
        #expect(try [next(&feed), next(&feed)] == ["2 D2", nil])
    }

    /// It was forgotten until the next rewind.
    @Test func `a device that cannot be read is told later, others at once, and somebody hears of it once`() throws {
        try site.put(device(1), device(2))
        var feed = feed()
        #expect(try [next(&feed), next(&feed)] == ["1 D1", "2 D2"])
        for id: Text in ["i1", "i2"] { feed.release(id) }
        let first = try spoil("D1")
        #expect(try [next(&feed), next(&feed)] == ["2 D2", nil])
        #expect(feed.takeFault() != nil && feed.takeFault() == nil)
        #expect(feed.cursor == 0 && !feed.isEmpty && feed.deadline != nil)
        _ = try spoil("?1", first)
        feed.hurry()
        #expect(try next(&feed) == "1 D1")
        // The same for one that is told again.
        for id: Text in ["i1", "i2"] { _ = feed.settle(id) }
        site.store.note(SyncState(.pending, seq: 1, since: 1), of: "i1")
        feed.retry("i1")
        _ = try spoil("D1")
        #expect(try next(&feed) == nil)
        #expect(feed.takeFault() != nil)
        _ = try spoil("?1", first)
        feed.hurry()
        #expect(try next(&feed) == "1 D1")
    }
}
