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

    @Test func `a name that was refused is not remembered`() throws {
        let store = try openStore(directory)
        store.note(UpstreamCursor(target: "journal mqtt://a:1883", seq: 0))
        try store.put(device("a", name: "old", token: "t", isProvisioned: true), now: 1)
        var renamed = device("a", name: "new", token: "t", isProvisioned: true)
        let long = JSONObject([.init(name: "note", value: .text(Text(String(repeating: "x", count: 200_000))))])
        renamed.attributes = long
        #expect(throws: JournalError.self) { try store.put(renamed, now: 2) }
        #expect(store.syncStates.isEmpty)
        renamed.attributes = JSONObject([])
        try store.put(renamed, now: 3)
        #expect(store.syncStates["a"]?.formerName == "old")
    }

    @Test func `cursor and states are found again after a stop`() throws {
        var store: Store? = try openStore(directory)
        let refused = SyncState(.refused, seq: 3, reason: "FAILURE_UPSTREAM", name: "other", since: 7)
        let conflict = SyncState(
            .conflict, seq: 4, upstream: Credentials(type: .accessToken, id: "t"), since: 8)
        store?.note(UpstreamCursor(target: "journal mqtt://a:1883", seq: 0))
        store?.note(refused, of: "a")
        store?.note(refused, of: "b")
        store?.note(conflict, of: "c")
        store?.note(nil, of: "b")
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

    @Test func `another device log than the states are about ends them for good`() throws {
        var store: Store? = try openStore(directory)
        try store?.put(device("i1", name: "D1", token: "t1"), now: 1)
        store?.note(SyncState(.refused, seq: 1, since: 1), of: "i1")
        try store?.close()
        store = nil
        let found = try directory.bytes("devices.jsonl").split(separator: 0x0A)
        let first = try #require(found.first)
        let head = try #require(try LogHead.renewed(Array(first)))
        try directory.put((head + [0x0A]) + found.dropFirst().joined(separator: [0x0A]) + [0x0A], "devices.jsonl")
        for _ in 0..<2 {
            store = try Store(try StateDirectory.open(directory.path), damage: .serveRest) { fatalError("\($0)") }
            #expect(store?.syncStates == [:])
            try store?.close()
            store = nil
        }
    }

    @Test func `what is decided beside a change of a device is not written before it`() throws {
        let store = try openStore(directory)
        try store.put(device("i1", name: "D1", token: "t1"), now: 1)
        store.decide(SyncState(.confirmed, seq: 1, name: "other", since: 1), of: "i1")
        store.upstream.prepare()
        #expect(store.upstream.log.seq == 0)
        let loop = try EventLoop()
        try loop.add(store)
        try loop.add(store.upstream)
        var isDone = false
        store.whenNoted { _ in isDone = true }
        while !isDone { try loop.turn() }
        #expect(store.durableDevices == 1 && store.upstream.log.seq > 0)
    }

    @Test func `it is written anew while it is used, when little of it counts`() throws {
        let store = try openStore(directory)
        let loop = try loop(of: store)
        let refused = SyncState(.refused, seq: 1, reason: "FAILURE_UPSTREAM", since: 1)
        store.note(refused, of: "a")
        store.note(refused, of: "b")
        for seq: UInt64 in 1...100 {
            store.note(UpstreamCursor(target: "t", seq: seq))
            if seq == 50 { store.note(nil, of: "a") }
            try settle(store, loop)
        }
        let before = try directory.bytes("upstream.jsonl").count
        // Looked at with the next line that is written.
        store.upstream.nextCompaction = 0
        store.note(UpstreamCursor(target: "t", seq: 101))
        let deadline = Duration.monotonic + .seconds(20)
        while store.upstream.nextCompaction == 0, .monotonic < deadline { try loop.turn() }
        #expect(try directory.bytes("upstream.jsonl").count < before / 10)
        #expect(store.upstream.nextCompaction == UpstreamLog.smallest)
        store.note(UpstreamCursor(target: "t", seq: 102))
        try settle(store, loop)
        try store.close()
        var content = UpstreamLog.Content()
        _ = try Store.verifyUpstream(directory.path, &content)
        #expect(content.states == ["b": refused])
        #expect(content.entry.cursor == UpstreamCursor(target: "t", seq: 102))
    }

    /// Its state could never be written: the cursor stood still, and with it all devices.
    @Test func `credentials upstream that no line holds are a conflict all the same`() throws {
        let store = try openStore(directory)
        let loop = try loop(of: store)
        let there = Credentials(type: .accessToken, id: Text(String(repeating: "\"", count: 80_000)))
        store.note(SyncState(.conflict, seq: 1, upstream: there, since: 1), of: "a")
        store.note(UpstreamCursor(target: "t", seq: 1))
        try settle(store, loop)
        #expect(store.syncStates == ["a": SyncState(.conflict, seq: 1, since: 1)])
        try store.close()
        var content = UpstreamLog.Content()
        _ = try Store.verifyUpstream(directory.path, &content)
        #expect(content.states == store.syncStates && content.entry.cursor.seq == 1)
    }

    /// Devices were taken back with it, and all states written again at once.
    @Test func `while the disk does not take it devices go on, and later only what is missing is written`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let store = try Store(try StateDirectory.open(directory.path), retryInterval: .milliseconds(100)) {
                fatalError("\($0)")
            }
            let loop = try loop(of: store)
            var suspensions: [Bool] = []
            store.upstream.onSuspension = { suspensions.append($0 != nil) }
            func state(_ seq: UInt64) -> SyncState {
                SyncState(.refused, seq: seq, reason: "FAILURE_UPSTREAM", since: 1)
            }
            for number: UInt64 in 1...4000 { store.note(state(number), of: Text("device \(number)")) }
            store.note(UpstreamCursor(target: "t", seq: 4000))
            try settle(store, loop)
            let full = try directory.bytes("upstream.jsonl").count
            FileSizeLimit.set(UInt64(full))
            for number: UInt64 in 1...1000 { store.note(nil, of: Text("device \(number)")) }
            for number: UInt64 in 1001...2000 { store.note(state(5000), of: Text("device \(number)")) }
            store.note(UpstreamCursor(target: "t", seq: 5000))
            while store.upstreamSuspension == nil { try loop.turn() }
            // Nobody else notices.
            #expect(store.suspension == nil)
            var isStored = false
            try store.put(device("i1", name: "D1", token: "t1"), now: 1)
            store.whenDurable { isStored = $0 == nil }
            let deadline = Duration.monotonic + .seconds(20)
            while !isStored, .monotonic < deadline { try loop.turn() }
            #expect(isStored)
            var why: JournalError?
            store.whenNoted { why = $0 }
            #expect(why != nil)
            #expect(try directory.bytes("upstream.jsonl").count == full)
            // The next tries fail too.
            for _ in 0..<20 { try loop.turn() }
            FileSizeLimit.set(nil)
            var widest: UInt64 = 0
            while store.upstreamSuspension != nil || store.upstream.log.seq < 4001 + 2001, .monotonic < deadline {
                let before = store.upstream.log.nextAddress
                try loop.turn()
                widest = max(widest, store.upstream.log.nextAddress - min(before, store.upstream.log.nextAddress))
            }
            #expect(widest < 2 * UInt64(UpstreamLog.slice))
            try settle(store, loop)
            #expect(suspensions == [true, false])
            let before = store.syncStates
            #expect(before.count == 3000)
            try store.close()
            var content = UpstreamLog.Content()
            let recovery = try Store.verifyUpstream(directory.path, &content)
            #expect(content.states == before && content.entry.cursor.seq == 5000)
            // What was on disk already is not written again: the witness may be.
            #expect(recovery.seq <= 4001 + 2001 + 2)
        }
    }

    /// The device was as before then, and the conflict forgotten.
    @Test func `what was decided beside a change that the disk does not take is undone`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let store = try Store(try StateDirectory.open(directory.path), retryInterval: .milliseconds(100)) { error in
                fatalError("\(error)")
            }
            let loop = try loop(of: store)
            for number in 1...50 {
                try store.put(device(Text("i\(number)"), name: Text("D\(number)"), token: Text("t\(number)")), now: 1)
            }
            let conflict = SyncState(.conflict, seq: 1, since: 1)
            store.note(conflict, of: "i1")
            try settle(store, loop)
            var isStored = false
            store.whenDurable { isStored = $0 == nil }
            while !isStored { try loop.turn() }
            FileSizeLimit.set(UInt64(try directory.bytes("devices.jsonl").count))
            try store.put(device("i1", name: "D1", token: "adopted"), now: 1)
            store.decide(nil, of: "i1")
            #expect(store.syncStates.isEmpty)
            while store.suspension == nil { try loop.turn() }
            #expect(store.upstreamSuspension == nil)
            #expect(store.syncStates == ["i1": conflict])
            FileSizeLimit.set(nil)
            while store.suspension != nil { try loop.turn() }
            try store.put(device("i1", name: "D1", token: "adopted"), now: 1)
            store.decide(nil, of: "i1")
            try settle(store, loop)
            try store.close()
            var content = UpstreamLog.Content()
            _ = try Store.verifyUpstream(directory.path, &content)
            #expect(content.states.isEmpty)
        }
    }

    @Test func `who asks while all is being synced is answered`() throws {
        let store = try openStore(directory)
        let loop = try loop(of: store)
        store.note(SyncState(.refused, seq: 1, since: 1), of: "a")
        var answers = 0
        store.whenNoted { _ in answers += 1 }
        store.upstream.prepare()
        store.whenNoted { _ in answers += 1 }
        let deadline = Duration.monotonic + .seconds(3)
        while answers < 2, .monotonic < deadline { try loop.turn() }
        #expect(answers == 2)
    }
}

/// A loop of a store and its log of upstream, as the hub has it.
private func loop(of store: Store) throws -> EventLoop {
    let loop = try EventLoop()
    try loop.add(store)
    try loop.add(store.upstream)
    return loop
}

/// Turns until all that was noted is on disk.
private func settle(_ store: Store, _ loop: EventLoop) throws {
    var isDone = false
    store.whenNoted { _ in isDone = true }
    while !isDone { try loop.turn() }
}
