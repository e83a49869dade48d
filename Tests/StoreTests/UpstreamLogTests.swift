internal import EventLoop
internal import JSON
internal import Journal
internal import Provisioning
internal import TestSupport
internal import Testing

@testable internal import Store

@Suite("What the store remembers of upstream")
struct UpstreamLogTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func lines(_ store: Store, after seq: UInt64) throws -> [String] {
        var place = Log.Place(after: seq)
        var found: [String] = []
        while let line = try store.nextDevice(after: &place) {
            switch line {
            case .device(let device, let seq): found.append("\(seq) \(device.name)")
            case .deleted(let id, let seq): found.append("\(seq) -\(id)")
            case .replaced: found.append("replaced")
            case .damaged: found.append("damaged")
            }
        }
        return found
    }

    @Test func `the hub has an id of its own that stays`() throws {
        var store: Store? = try openStore(directory)
        let hub = store?.hub
        #expect(hub?.utf8.count == 32)
        try store?.close()
        store = nil
        #expect(try openStore(directory).hub == hub)
        #expect(try openStore(try TemporaryDirectory()).hub != hub)
    }

    @Test func `a state that another hub takes over gets another id`() throws {
        var store: Store? = try openStore(directory)
        let hub = store?.hub
        try store?.close()
        store = nil
        let lines = try directory.bytes("admin.jsonl").split(separator: 0x0A)
        let first = try #require(lines.first)
        let head = try #require(try LogHead.renewed(Array(first)))
        try directory.put(head + [0x0A] + lines.dropFirst().joined(separator: [0x0A]) + [0x0A], "admin.jsonl")
        #expect(try openStore(directory).hub != hub)
    }

    @Test func `cursor and states are found again after a stop`() throws {
        var store: Store? = try openStore(directory)
        let refused = SyncState(.refused, seq: 3, reason: "FAILURE_UPSTREAM", name: "other", since: 7)
        let conflict = SyncState(
            .conflict, seq: 4, upstream: Credentials(type: .accessToken, id: "t"), since: 8)
        try store?.note(UpstreamCursor(target: "journal mqtt://a:1883", seq: 0), now: 1)
        try store?.note(refused, of: "a", now: 1)
        try store?.note(refused, of: "b", now: 1)
        try store?.note(conflict, of: "c", now: 1)
        try store?.note(nil, of: "b", now: 1)
        try store?.close()
        store = nil
        let again = try openStore(directory)
        #expect(again.upstreamCursor == UpstreamCursor(target: "journal mqtt://a:1883", seq: 0))
        #expect(again.syncStates == ["a": refused, "c": conflict])
    }

    @Test func `device lines come in the order of their numbers, newest states only`() throws {
        let store = try openStore(directory)
        let loop = try EventLoop()
        try loop.add(store)
        for number in 1...5 {
            try store.put(device(Text("i\(number)"), name: Text("D\(number)"), token: Text("t\(number)")), now: 1)
        }
        try store.put(device("i2", name: "D2", token: "u2"), now: 1)
        #expect(try lines(store, after: 0) == [])
        var isDone = false
        store.whenDurable { _ in isDone = true }
        while !isDone { try loop.turn() }
        #expect(try lines(store, after: 0) == ["1 D1", "replaced", "3 D3", "4 D4", "5 D5", "6 D2"])
        #expect(try lines(store, after: 4) == ["5 D5", "6 D2"])
        #expect(try store.deviceCount(behind: Log.Place(after: 0)) == 5)
        #expect(try store.deviceCount(behind: Log.Place(after: 4)) == 2)
        #expect(try store.deviceCount(behind: Log.Place(after: 6)) == 0)
        #expect(try store.durableDevice(id: "i2")?.seq == 6)
        // Its line may still be taken back, and then the one before counts again.
        try store.put(device("i1", name: "D1", token: "u1"), now: 1)
        #expect(try lines(store, after: 0) == [])
        #expect(try store.durableDevice(id: "i1") == nil)
    }

    @Test func `a device log older than its witness is refused, and repaired it does not use numbers again`() throws {
        var store: Store? = try openStore(directory)
        try store?.put(device("i1", name: "D1", token: "t1"), now: 1)
        try store?.close()
        let old = try directory.bytes("devices.jsonl")
        store = nil
        store = try openStore(directory)
        try store?.put(device("i2", name: "D2", token: "t2"), now: 1)
        try store?.close()
        store = nil
        try directory.put(old, "devices.jsonl")
        #expect(throws: JournalError.self) { try openStore(directory) }
        #expect(throws: JournalError.self) { try Store.inspect(directory.path) }
        var repaired: [Log.Repaired?] = []
        try Store.repair(try StateDirectory.open(directory.path)) { log, _ in repaired.append(log) }
        #expect(repaired.map { $0?.isShort } == [true])
        let again = try openStore(directory)
        #expect(again.deviceCount == 1)
        #expect(again.lastSeq(.devices) == 2)
        #expect(again.upstreamCursor.seq == 0)
    }

    @Test func `another device log than the witness speaks of is refused`() throws {
        for path in [directory, try TemporaryDirectory()] {
            var store: Store? = try openStore(path)
            try store?.put(profile("p"), now: 1)
            try store?.put(device("i1", name: "D1", token: "t1"), now: 1)
            try store?.close()
            store = nil
            if path !== directory { try directory.put(try path.bytes("devices.jsonl"), "devices.jsonl") }
        }
        #expect(throws: JournalError.self) { try openStore(directory) }
    }

    @Test func `upstream_jsonl is written anew when little of it counts`() throws {
        let log = try Log.open(directory: directory.path, name: "upstream") { _, _ in }.log
        var upstream = UpstreamLog(log, UpstreamLog.Content())
        let devices = try Log.open(directory: directory.path, name: "devices") { _, _ in }.log
        let journal = try Journal([log]) { error in fatalError("\(error)") }
        let refused = SyncState(.refused, seq: 1, reason: "FAILURE_UPSTREAM", since: 1)
        for number: UInt64 in 1...30 {
            try upstream.note(UpstreamCursor(target: "t", seq: number), of: devices, "id", at: 1)
        }
        try upstream.note(refused, of: "a", at: 1)
        try upstream.note(refused, of: "b", at: 1)
        try upstream.note(nil, of: "a", at: 1)
        try journal.flush()
        let before = upstream.content
        #expect(try !UpstreamLog.compact(log))
        #expect(try UpstreamLog.compact(log, smallest: 0))
        var after = UpstreamLog.Content()
        let recovery = try Store.verifyUpstream(directory.path, &after)
        #expect(recovery.records == 2 && recovery.seq == 33)
        #expect(after.entry == before.entry && after.states == before.states)
    }

    /// The hub did not start on a full disk then.
    @Test func `without room it stays as it is`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let log = try Log.open(directory: directory.path, name: "upstream") { _, _ in }.log
            var upstream = UpstreamLog(log, UpstreamLog.Content())
            let devices = try Log.open(directory: directory.path, name: "devices") { _, _ in }.log
            let journal = try Journal([log]) { error in fatalError("\(error)") }
            for number: UInt64 in 1...30 {
                try upstream.note(UpstreamCursor(target: "t", seq: number), of: devices, "id", at: 1)
            }
            try journal.flush()
            let before = try directory.bytes("upstream.jsonl")
            FileSizeLimit.set(100)
            #expect(try !UpstreamLog.compact(log, smallest: 0))
            FileSizeLimit.set(nil)
            #expect(try directory.bytes("upstream.jsonl") == before)
            #expect(!directory.names.contains { $0.hasSuffix(".new") })
        }
    }
}
