internal import EventLoop
internal import Glibc
internal import JSON
internal import Provisioning
internal import TestSupport
internal import Testing

@testable internal import Journal
@testable internal import Store

@Suite("Compaction of a store in use")
struct OnlineCompactionTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Changes a store at random while it is written anew again and again, and compares it with what it should be.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func `nothing is lost or old, whatever changes meanwhile`(seed: UInt64) throws {
        var numbers = SeededNumbers(state: seed)
        var names: [Int: Text] = [:]
        var version = 0
        do {
            let store = try openStore(directory)
            let loop = try EventLoop()
            try loop.add(Timer(every: .milliseconds(1)) {})
            try loop.add(store)
            var shorter = 0
            store.onCompaction = { _, outcome in
                if case .shorter(let before, let after) = outcome, after < before { shorter += 1 }
            }
            try store.put(profile("p"), now: 1)
            func change() throws {
                let id = Int.random(in: 0..<400, using: &numbers)
                version += 1
                names[id] = Text("D\(id) \(version)")
                try store.put(
                    device(Text("i\(id)"), name: Text("D\(id) \(version)"), token: Text("t\(version)")), now: 1)
            }
            func check(_ ids: some Sequence<Int>) throws {
                for id in ids {
                    #expect(try store.device(id: Text("i\(id)"))?.name == names[id])
                    if let name = names[id] { #expect(try store.device(named: name)?.id == Text("i\(id)")) }
                }
            }
            for _ in 0..<1500 { try change() }
            // Longer where other tests take the processors: the compaction's thread is the last to get one.
            let deadline = Duration.monotonic + .seconds(120)
            var round = 0
            while round < 4000 || shorter < 2 && .monotonic < deadline {
                round += 1
                if round % 50 == 7, !store.compactionStatus.isRunning { store.compact() }
                for _ in 0..<Int.random(in: 0...3, using: &numbers) { try change() }
                store.prepare()
                if round % 3 == 0 { store.run() } else { try loop.turn() }
                try check([Int.random(in: 0..<400, using: &numbers)])
                if round % 500 == 0 { try check(0..<400) }
            }
            #expect(shorter >= 2)
            try check(0..<400)
            try store.close()
            try check(0..<400)
        }
        let store = try openStore(directory)
        #expect(store.deviceCount == names.count)
        for (id, name) in names { #expect(try store.device(id: Text("i\(id)"))?.name == name) }
    }

    /// A list that was begun before a compaction goes on behind it, with nobody twice and nobody missing.
    @Test func `a list goes on in the log that was written anew`() throws {
        let store = try openStore(directory)
        let loop = try EventLoop()
        try loop.add(Timer(every: .milliseconds(1)) {})
        try loop.add(store)
        try store.put(profile("p"), now: 1)
        for round in 0..<3 {
            for id in 0..<900 {
                try store.put(device(Text("i\(id)"), name: Text("D\(id)"), token: Text("t\(id) \(round)")), now: 1)
            }
        }
        func settle() throws {
            store.compact()
            let deadline = Duration.monotonic + .seconds(20)
            while store.compactionStatus.isRunning, .monotonic < deadline { try loop.turn() }
            #expect(!store.compactionStatus.isRunning)
        }
        try store.journal.flush()
        var listed: [Text] = []
        var cursor: UInt64? = 0
        var isMoved = false
        while let from = cursor {
            cursor = try store.devices(after: from, limit: 100) { listed.append($0.name) }
            if listed.count > 300, !isMoved {
                isMoved = true
                try settle()
            }
        }
        #expect(isMoved && listed == (0..<900).map { Text("D\($0)") })
        #expect(store.compactionStatus.outcomes.map(\.log) == ["profiles", "devices"])
        guard case .shorter? = store.compactionStatus.outcomes.last?.outcome else {
            Issue.record("not shorter"); return
        }
        try settle()
        guard case .notWorthwhile? = store.compactionStatus.outcomes.last?.outcome else {
            Issue.record("again"); return
        }
    }

    /// More than half of more than 1 MiB.
    @Test func `it starts by itself`() throws {
        let store = try openStore(directory, firstCompaction: .zero)
        let loop = try EventLoop()
        try loop.add(Timer(every: .milliseconds(1)) {})
        try loop.add(store)
        var outcomes: [Log.Moved] = []
        store.onCompaction = { outcomes.append($1) }
        try store.put(profile("p"), now: 1)
        let note = Text(String(repeating: "n", count: 2000))
        for round in 0..<3 {
            for id in 0..<300 {
                let (name, token) = (Text("\(id) \(note)"), Text("t\(id) \(round)"))
                try store.put(device(Text("i\(id)"), name: name, token: token), now: 1)
            }
        }
        let deadline = Duration.monotonic + .seconds(20)
        while outcomes.isEmpty, .monotonic < deadline { try loop.turn() }
        guard case .shorter(let before, let after)? = outcomes.first else { Issue.record("nothing happened"); return }
        #expect(before > 1 << 20 && after < before * 2 / 5)
        for id in 0..<300 { #expect(try store.device(id: Text("i\(id)"))?.credentials.id == Text("t\(id) 2")) }
    }

    /// As if 40 GiB had been appended since the start: the index could not hold addresses above 64 GiB.
    @Test func `addresses do not run out, however much is written between two starts`() throws {
        let store = try openStore(directory)
        let loop = try EventLoop()
        try loop.add(Timer(every: .milliseconds(1)) {})
        try loop.add(store)
        store.devicesLog.addresses.append(40 << 30, at: store.devicesLog.size)
        try store.put(profile("p"), now: 1)
        var tokens: [Int: Text] = [:]
        func put(_ id: Int, _ text: String) throws {
            let token = Text(text)
            tokens[id] = token
            try store.put(device(Text("i\(id)"), name: Text("D\(id)"), token: token), now: 1)
        }
        for round in 0..<3 { for id in 0..<200 { try put(id, "t\(id) \(round)") } }
        try store.journal.flush()
        #expect(store.devicesLog.nextAddress > 40 << 30)
        store.compact()
        // Longer where other tests take the processors: the compaction's thread is the last to get one.
        let deadline = Duration.monotonic + .seconds(120)
        var number = 0
        while store.compactionStatus.isRunning, .monotonic < deadline {
            // Some of these are not on disk yet when the log is replaced.
            number += 1
            if number < 1000 { try put(number % 300, "late \(number)") }
            try loop.turn()
        }
        #expect(store.devicesLog.nextAddress < 1 << 30 && store.devicesLog.addresses.count == 1)
        for (id, token) in tokens {
            #expect(try store.device(id: Text("i\(id)"))?.credentials.id == token)
            #expect(try store.device(holding: token)?.id == Text("i\(id)"))
        }
        for id in 0..<300 { try put(id, "last \(id)") }
        try store.close()
        for (id, token) in tokens { #expect(try store.device(id: Text("i\(id)"))?.credentials.id == token) }
    }

    @Test func `a log without addresses refuses changes, having said so before, until it is written anew`() throws {
        let store = try openStore(directory)
        let loop = try EventLoop()
        try loop.add(Timer(every: .milliseconds(1)) {})
        try loop.add(store)
        var warnings: [UInt64] = []
        store.onNearlyFull = { used, _ in warnings.append(used) }
        try store.put(profile("p"), now: 1)
        try store.put(device("i1", name: "D1", token: "t1"), now: 1)
        try store.journal.flush()
        store.devicesLog.addresses.append(Store.addressLimit - 200, at: store.devicesLog.size)
        try store.put(device("i1", name: "D1", token: "t2"), now: 1)
        let error = #expect(throws: JournalError.self) {
            try store.put(device("i1", name: "D1", token: "t3"), now: 1)
        }
        #expect(error?.kind == .full(limit: 63 << 30))
        #expect(error?.description.contains("63 GiB") == true)
        try store.journal.flush()
        try loop.turn()
        #expect(warnings.count == 1 && warnings[0] > 48 << 30)
        store.compact()
        let deadline = Duration.monotonic + .seconds(120)
        while store.compactionStatus.isRunning, .monotonic < deadline { try loop.turn() }
        try store.put(device("i1", name: "D1", token: "t3"), now: 1)
        try store.close()
        #expect(try store.device(id: "i1")?.credentials.id == "t3")
    }

    /// A disk that fails, or a watchdog, may have ended it: nobody wants that at each start again.
    @Test func `one that was not finished is not begun again within the hour`() throws {
        do {
            let store = try openStore(directory)
            try store.put(profile("p"), now: 1)
            let note = Text(String(repeating: "n", count: 2000))
            for round in 0..<3 {
                for id in 0..<300 {
                    let (name, token) = (Text("\(id) \(note)"), Text("t\(id) \(round)"))
                    try store.put(device(Text("i\(id)"), name: name, token: token), now: 1)
                }
            }
            try store.close()
        }
        try directory.touch("devices.jsonl.new")
        let store = try openStore(directory, firstCompaction: .zero)
        #expect(!directory.names.contains("devices.jsonl.new"))
        let loop = try EventLoop()
        try loop.add(Timer(every: .milliseconds(1)) {})
        try loop.add(store)
        var outcomes: [Log.Moved] = []
        store.onCompaction = { outcomes.append($1) }
        let later = Duration.monotonic + .milliseconds(300)
        while .monotonic < later { try loop.turn() }
        #expect(store.journal.compaction == nil && outcomes.isEmpty)
        let due = try #require(store.compactions.due)
        #expect((3500...3600).contains((due - .monotonic).components.seconds))
        // Unless somebody wants it.
        store.compact()
        let deadline = Duration.monotonic + .seconds(20)
        while outcomes.isEmpty, .monotonic < deadline { try loop.turn() }
        guard case .shorter? = outcomes.first else { Issue.record("nothing happened"); return }
    }
}
