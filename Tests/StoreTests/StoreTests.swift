internal import EventLoop
internal import Glibc
internal import JSON
internal import Journal
internal import Provisioning
internal import TestSupport
internal import Testing

@testable internal import Store

@Suite("The store")
struct StoreTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Turns the loop until all that was staged is on disk.
    private func settle(_ store: Store, _ loop: EventLoop) throws {
        var isDone = false
        store.whenDurable { _ in isDone = true }
        while !isDone { try loop.turn() }
    }

    @Test func `a device is found by id, name and credentials while staged, in flight and on disk`() throws {
        let store = try openStore(directory)
        let loop = try EventLoop()
        try loop.add(store)
        let one = device("i1", name: "D1", token: "t1", isProvisioned: true)
        try store.put(profile("p"), now: 1)
        try store.put(one, now: 1)
        func check() throws {
            #expect(line(try store.device(id: "i1")) == line(one))
            #expect(line(try store.device(named: "D1")) == line(one))
            #expect(line(try store.device(holding: "t1")) == line(one))
            #expect(try store.device(id: "i2") == nil)
            #expect(try store.device(named: "i1") == nil)
            #expect(try store.device(holding: "D1") == nil)
            #expect(store.deviceCount == 1)
            #expect(store.deviceCount(of: profile("p")) == 1)
        }
        #expect(store.logs.map(\.durable) == [0, 0])
        try check()
        store.prepare()
        try check()
        try settle(store, loop)
        #expect(store.logs.map(\.durable) == [1, 1])
        try check()
        #expect(try store.device(id: "i1")?.provisioned?.seq == 1)
    }

    @Test func `a new state takes the place of the old one in every index`() throws {
        let store = try openStore(directory)
        try store.put(device("i1", name: "D1", token: "t1"), now: 1)
        try store.put(device("i1", name: "D2", token: "t2", profile: "q"), now: 1)
        #expect(try store.device(named: "D1") == nil)
        #expect(try store.device(holding: "t1") == nil)
        #expect(try store.device(named: "D2")?.id == "i1")
        #expect(store.deviceCount == 1)
        #expect(store.deviceCount(of: profile("p")) == 0)
        #expect(store.deviceCount(of: profile("q")) == 1)
    }

    @Test func `profiles are found by id, name and key, and are gone when deleted`() throws {
        let store = try openStore(directory)
        try store.put(profile("p", name: "one", key: "k1"), now: 1)
        try store.put(profile("q", name: "two", key: nil), now: 1)
        #expect(line(store.profile(key: "k1")) == line(profile("p", name: "one", key: "k1")))
        #expect(store.profile(named: "two")?.id == "q")
        #expect(store.profile(id: "r") == nil)
        try store.put(profile("p", name: "one", key: "k2"), now: 1)
        #expect(store.profile(key: "k1") == nil)
        #expect(store.profile(key: "k2")?.id == "p")
        try store.delete(profile("p"), now: 1)
        #expect(store.profile(key: "k2") == nil)
        #expect(store.profile(id: "p") == nil)
        #expect(store.profiles.count == 1)
        try store.close()
    }

    @Test func `replies wait until what they rest on is on disk, and keep their order`() throws {
        let store = try openStore(directory)
        let loop = try EventLoop()
        try loop.add(store)
        var left: [String] = []
        store.whenDurable { _ in left.append("before") }
        #expect(left == ["before"], "nothing was staged")
        try store.put(device("i1", name: "D1", token: "t1"), now: 1)
        store.whenDurable { _ in left.append("first") }
        store.whenDurable { _ in left.append("second") }
        #expect(left == ["before"])
        // In flight: what comes now belongs to the next group.
        store.prepare()
        try store.put(device("i2", name: "D2", token: "t2"), now: 1)
        store.whenDurable { _ in
            left.append("third")
            #expect(store.logs.map(\.durable) == [0, 2])
            store.whenDurable { _ in left.append("inner") }
        }
        #expect(left == ["before"])
        while left.count < 5 { try loop.turn() }
        #expect(left == ["before", "first", "second", "third", "inner"])
    }

    @Test func `a reply that rests on what another request staged waits for it`() throws {
        let store = try openStore(directory)
        var left = 0
        try store.put(profile("p"), now: 1)
        _ = store.profile(key: "key")
        store.whenDurable { _ in left += 1 }
        #expect(left == 0)
        try store.close()
        #expect(left == 1)
    }

    @Test func `a record that is too long is refused and changes nothing`() throws {
        let store = try openStore(directory)
        let long = device("i1", name: "D1", token: Text(String(repeating: "\"", count: 70_000)), isProvisioned: true)
        let error = #expect(throws: JournalError.self) { try store.put(long, now: 1) }
        guard case .lineTooLong = error?.kind else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(store.deviceCount == 0)
        #expect(try store.device(named: "D1") == nil)
        #expect(store.logs.map(\.seq) == [0, 0])
        try store.put(device("i1", name: "D1", token: "t1"), now: 1)
        #expect(try store.device(named: "D1")?.id == "i1")
    }

    @Test func `devices are listed in the order of their last change, each once`() throws {
        let store = try openStore(directory)
        for number in 1...5 {
            try store.put(device(Text("i\(number)"), name: Text("D\(number)"), token: Text("t\(number)")), now: 1)
        }
        try store.put(device("i2", name: "D2", token: "t2 new"), now: 1)
        try store.close()
        var names: [String] = []
        var cursor: UInt64? = 0
        while let from = cursor {
            cursor = try store.devices(after: from, limit: 2) { names.append($0.name.description) }
        }
        #expect(names == ["D1", "D3", "D4", "D5", "D2"])
    }

    @Test func `every profile must want modern answers for those that belong to none`() throws {
        let store = try openStore(directory)
        #expect(!store.wantsModernAnswers)
        try store.put(profile("p", legacyFields: false), now: 1)
        #expect(store.wantsModernAnswers)
        try store.put(profile("q", name: "Q", key: "k2"), now: 1)
        #expect(!store.wantsModernAnswers)
    }
}
