internal import EventLoop
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
        try site.store.note(SyncState(.pending, seq: 1, since: 1), of: "i1", now: 1)
        try site.store.note(SyncState(.refused, seq: 2, since: 1), of: "i2", now: 1)
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
}
