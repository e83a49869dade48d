internal import EventLoop
internal import Glibc
internal import JSON
internal import Journal
internal import Provisioning
internal import TestSupport
internal import Testing

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
            var compactions = 0
            store.onCompaction = { _, _, error in
                #expect(error == nil)
                compactions += 1
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
            var begun = 0
            for round in 0..<4000 {
                if round % 400 == 7, store.compact() { begun += 1 }
                for _ in 0..<Int.random(in: 0...3, using: &numbers) { try change() }
                store.prepare()
                if round % 3 == 0 { store.run() } else { try loop.turn() }
                try check([Int.random(in: 0..<400, using: &numbers)])
                if round % 500 == 0 {
                    try check(0..<400)
                    var listed: Set<Text> = []
                    var cursor: UInt64? = 0
                    while let from = cursor {
                        cursor = try store.devices(after: from, limit: 500) { listed.insert($0.name) }
                    }
                    #expect(listed.isSubset(of: Set(names.values)))
                }
            }
            #expect(begun >= 3 && compactions >= begun - 1)
            let deadline = Duration.monotonic + .seconds(10)
            while store.following != nil, .monotonic < deadline { try loop.turn() }
            #expect(store.following == nil)
            try check(0..<400)
            try store.close()
            try check(0..<400)
        }
        let store = try openStore(directory)
        #expect(store.deviceCount == names.count)
        for (id, name) in names { #expect(try store.device(id: Text("i\(id)"))?.name == name) }
    }

}
