internal import EventLoop
internal import Glibc
internal import JSON
internal import Journal
internal import Provisioning
internal import TestSupport
internal import Testing

@testable internal import Store

@Suite("A store with damaged lines")
struct DamageTests {
    let directory: TemporaryDirectory
    let ids = (0..<5).map { number in
        Text([8, 4, 4, 4, 12].map { String(repeating: "\(number)", count: $0) }.joined(separator: "-"))
    }

    init() throws { directory = try TemporaryDirectory() }

    private func open(_ damage: Store.Damage) throws -> Store {
        try Store(try StateDirectory.open(directory.path), damage: damage) { error in fatalError("\(error)") }
    }

    /// A log of five devices, the first of them changed at the end, with some lines spoiled.
    private func make(spoiling numbers: [Int]) throws {
        do {
            let store = try openStore(directory)
            try store.put(profile("p"), now: 1)
            for (number, id) in ids.enumerated() {
                try store.put(device(id, name: Text("D\(number)"), token: Text("t\(number)")), now: 1)
            }
            try store.put(device(ids[0], name: "D0 new", token: "t0 new"), now: 1)
            try store.close()
        }
        let path = "\(directory.path)/devices.jsonl"
        let file = try FileDescriptor.open(path, O_RDWR)
        var bytes = [UInt8](repeating: 0, count: 10_000)
        bytes.removeSubrange((unsafe pread(file.raw, &bytes, bytes.count, 0))...)
        let lines = bytes.split(separator: 0x0A)
        for number in numbers {
            let place = lines[number].startIndex + 170
            bytes[place] ^= 4
            unsafe pwrite(file.raw, [bytes[place]], 1, off_t(place))
        }
    }

    @Test func `it is refused unless the rest is to be served`() throws {
        try make(spoiling: [3])
        #expect(throws: JournalError.self) { try open(.refuse) }
        do {
            let store = try open(.serveRest)
            #expect(store.damagedLines.map(\.seq) == [3] && store.damagedLines.map(\.line) == [4])
            #expect(store.damagedLines(of: "devices") == 1 && store.damagedLines(of: "profiles") == 0)
            #expect(store.deviceCount == 4)
            #expect(try store.device(named: "D2") == nil)
            #expect(try store.device(named: "D3")?.id == ids[3])
            var names: [String] = []
            #expect(try store.devices(after: 0, limit: 50) { names.append($0.name.description) } == nil)
            #expect(names == ["D1", "D3", "D4", "D0 new"])
            try store.put(device("new", name: "new", token: "new"), now: 1)
            #expect(store.logs.map(\.seq) == [1, 7])
            try store.close()
        }
        let again = try open(.serveRest)
        #expect(again.deviceCount == 5)
        #expect(try again.device(named: "new")?.id == "new")
    }

    @Test func `a device whose newest state is lost is an error, not its older state`() throws {
        try make(spoiling: [6])
        let store = try open(.serveRest)
        for look in [
            { try store.device(id: ids[0]) }, { try store.device(named: "D0") }, { try store.device(holding: "t0") },
        ] as [() throws -> Device?] {
            #expect(throws: JournalError.self) { try look() }
        }
        #expect(throws: JournalError.self) { try store.put(device(ids[0], name: "D0", token: "t0"), now: 1) }
        #expect(try store.device(named: "D1")?.id == ids[1])
        #expect(store.deviceCount == 5)
    }

    @Test func `an older state that is lost harms nothing`() throws {
        try make(spoiling: [1])
        let store = try open(.serveRest)
        #expect(try store.device(named: "D0 new")?.id == ids[0])
        #expect(store.deviceCount == 5 && store.damagedLines.count == 1)
    }

    /// Replaces a line, with its newline, by the given bytes.
    private func replace(_ number: Int, by fresh: [UInt8]) throws {
        let file = try FileDescriptor.open("\(directory.path)/devices.jsonl", O_RDWR)
        var bytes = [UInt8](repeating: 0, count: 10_000)
        bytes.removeSubrange((unsafe pread(file.raw, &bytes, bytes.count, 0))...)
        let lines = bytes.split(separator: 0x0A)
        bytes.replaceSubrange(lines[number].startIndex...lines[number].endIndex, with: fresh)
        unsafe pwrite(file.raw, bytes, bytes.count, 0)
        ftruncate(file.raw, off_t(bytes.count))
    }

    private func served(_ store: Store) throws -> [String] {
        var names: [String] = []
        _ = try store.devices(after: 0, limit: 50) { names.append($0.name.description) }
        return names
    }

    @Test func `a line whose id is not known holds back all devices that have none behind it`() throws {
        try make(spoiling: [])
        try replace(3, by: Array("gone\n".utf8))
        let store = try open(.serveRest)
        #expect(store.damagedLines.map(\.isAttributed) == [false] && store.heldBackDevices == 1)
        #expect(try served(store) == ["D3", "D4", "D0 new"])
        for look in [{ try store.device(id: ids[1]) }, { try store.device(named: "D1") }] as [() throws -> Device?] {
            #expect(throws: JournalError.self) { try look() }
        }
        #expect(throws: JournalError.self) { try store.put(device(ids[1], name: "D1", token: "t1"), now: 1) }
    }

    @Test func `numbers that no line has are lines that are lost`() throws {
        try make(spoiling: [])
        try replace(4, by: [])
        let store = try open(.serveRest)
        #expect(store.damagedLines.map(\.length) == [0] && store.damagedLines.map(\.seq) == [4])
        #expect(try served(store) == ["D4", "D0 new"])
        #expect(store.heldBackDevices == 2)
    }

    @Test func `two lines that became one hold back as many as one without an id`() throws {
        try make(spoiling: [])
        try replace(
            3, by: Array((#"{"seq":3,"durable":2,"at":"x","op":"put","device":{"id":"\#(ids[2])","#).utf8) + [0x2E])
        let store = try open(.serveRest)
        #expect(try !served(store).contains("D1"))
    }

    @Test func `noise between two lines whose numbers follow each other hides nothing`() throws {
        try make(spoiling: [])
        let file = try FileDescriptor.open("\(directory.path)/devices.jsonl", O_RDWR)
        var bytes = [UInt8](repeating: 0, count: 10_000)
        bytes.removeSubrange((unsafe pread(file.raw, &bytes, bytes.count, 0))...)
        let line = Array(bytes.split(separator: 0x0A)[3]) + [0x0A]
        try replace(3, by: line + Array("noise\n".utf8))
        let store = try open(.serveRest)
        #expect(store.damagedLines.count == 1 && store.heldBackDevices == 0 && store.deviceCount == 5)
    }

    @Test func `a whole log is served as ever, a log of nothing whole is refused`() throws {
        try make(spoiling: [])
        do {
            let store = try open(.serveRest)
            #expect(store.damagedLines.isEmpty && store.deviceCount == 5)
        }
        try make(spoiling: [0, 1, 2, 3, 4, 5, 6])
        let file = try FileDescriptor.open("\(directory.path)/devices.jsonl", O_RDWR)
        let noise = [UInt8](repeating: 0x0A, count: 4000)
        unsafe pwrite(file.raw, noise, noise.count, 0)
        #expect(throws: JournalError.self) { try open(.serveRest) }
    }
}
