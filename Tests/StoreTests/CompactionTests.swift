internal import EventLoop
internal import Glibc
internal import JSON
internal import Journal
internal import Provisioning
internal import TestSupport
internal import Testing

@testable internal import Store

@Suite("Compaction of a stopped store")
struct CompactionTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func make() throws {
        let store = try openStore(directory)
        try store.put(profile("p"), now: 1)
        try store.put(profile("q", name: "Q", key: "kq"), now: 1)
        try store.put(profile("p", name: "renamed"), now: 1)
        try store.delete(profile("q"), now: 1)
        for number in 0..<20 {
            let id = Text("i\(number)")
            try store.put(device(id, name: Text("D\(number)"), token: Text("t\(number)"), isProvisioned: true), now: 1)
        }
        for number in stride(from: 0, to: 20, by: 2) {
            try store.put(device(Text("i\(number)"), name: Text("N\(number)"), token: Text("n\(number)")), now: 1)
        }
        try store.close()
    }

    private func compact() throws -> [Log.Compacted] {
        try Store.compact(try StateDirectory.open(directory.path))
    }

    @Test func `what is live stays, what is replaced goes, and numbers go on`() throws {
        try make()
        let done = try compact()
        #expect(done.map(\.records) == [1, 20])
        #expect(done.allSatisfy { $0.bytes < $0.bytesBefore })
        #expect(!directory.names.contains { $0.hasSuffix(".new") })
        let store = try openStore(directory)
        #expect(store.recoveries.allSatisfy { $0.torn == nil && $0.rewrittenFrom == nil })
        #expect(store.logs.map(\.seq) == [4, 30])
        #expect(store.profiles.map(\.name) == ["renamed"] && store.deviceCount == 20)
        for number in 0..<20 {
            let name: Text = number % 2 == 0 ? Text("N\(number)") : Text("D\(number)")
            #expect(try store.device(named: name)?.id == Text("i\(number)"))
        }
        #expect(try store.device(named: "D0") == nil)
        #expect(try store.device(named: "D1")?.provisioned?.seq == 2)
        try store.put(device("new", name: "new", token: "new"), now: 1)
        #expect(store.logs.map(\.seq) == [4, 31])
        try store.close()
    }

    @Test func `a second compaction finds nothing to do`() throws {
        try make()
        _ = try compact()
        #expect(try compact().isEmpty)
    }

    @Test func `the newest number stays known when its line goes`() throws {
        do {
            let store = try openStore(directory)
            try store.put(profile("p"), now: 1)
            try store.delete(profile("p"), now: 1)
            try store.close()
        }
        #expect(try compact().map(\.records) == [0])
        let store = try openStore(directory)
        #expect(store.logs.map(\.seq) == [2, 0] && store.profiles.isEmpty)
    }

    @Test func `what a compaction left unfinished is removed, even if it is the log under another name`() throws {
        try make()
        unsafe link("\(directory.path)/devices.jsonl", "\(directory.path)/devices.jsonl.new")
        #expect(try compact().count == 2)
        let store = try openStore(directory)
        #expect(store.deviceCount == 20 && !directory.names.contains { $0.hasSuffix(".new") })
    }

    @Test func `a device log that is older than its witness is not compacted`() throws {
        try make()
        let old = try directory.bytes("devices.jsonl")
        do {
            let store = try openStore(directory)
            try store.put(device("late", name: "late", token: "late"), now: 1)
            try store.close()
        }
        try directory.put(old, "devices.jsonl")
        #expect(throws: JournalError.self) { try compact() }
        #expect(try directory.bytes("devices.jsonl") == old)
    }

    @Test func `how far it is is told of all passes`() throws {
        try make()
        var read: Set<String> = []
        var told: [String: (done: UInt64, total: UInt64)] = [:]
        let compacted = try Store.compact(
            try StateDirectory.open(directory.path), watch: { read.insert(String($0.name)) },
            progress: { told[$0] = ($1, $2) })
        #expect(read == ["profiles.jsonl", "devices.jsonl"])
        #expect(told["devices"]?.total == compacted[1].bytesBefore * 2)
        for (done, total) in told.values { #expect(done == total) }
    }

    @Test func `without room the old log stays`() async {
        await #expect(processExitsWith: .success) {
            let test = try CompactionTests()
            try test.make()
            FileSizeLimit.set(1000)
            #expect(throws: JournalError.self) { try test.compact() }
            FileSizeLimit.set(nil)
            #expect(!test.directory.names.contains { $0.hasSuffix(".new") })
            #expect(try Store.inspect(test.directory.path).devices == 20)
        }
    }
}
