internal import EventLoop
internal import Glibc
internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

@Suite("A log that is written anew while it is used")
struct MovingTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `the old log stays until what made its lines dead is on disk`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        let old = try log.put("x")
        try log.put("y")
        try journal.flush()
        let new = try log.put("x")
        try begin(journal, log) { $0.address != old }
        try advance(journal)
        #expect(journal.compacting?.phase == .waiting)
        #expect(!journal.beginMove())
        // The commit first, then the move.
        journal.prepare()
        #expect(journal.compacting?.phase == .waiting)
        let deadline = Duration.monotonic + .seconds(20)
        while log.durableSeq < 3, .monotonic < deadline { journal.run() }
        #expect(try log.read(at: old).seq == 1)
        journal.prepare()
        #expect(journal.isMoving)
        try advance(journal)
        #expect(journal.compacting == nil && log.addresses.count > 1)
        #expect(throws: JournalError.self) { try log.read(at: old) }
        #expect(try log.read(at: new).seq == 3)
        try log.put("z")
        try journal.flush()
        #expect(try open(directory).seqs == [2, 3, 4])
    }

    /// The write that fails is real; the limit that makes it fail is the process's, so the test has one of its own.
    @Test func `what is taken back ends it, since dead lines live again`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let log = try open(directory).log
            let journal = try Journal([log], retryInterval: .milliseconds(20)) { error in fatalError("\(error)") }
            let old = try log.put("x")
            try log.put("y")
            try journal.flush()
            // Room for half a line.
            FileSizeLimit.set(log.size + 60)
            try log.put("x")
            try begin(journal, log) { $0.address != old }
            try advance(journal)
            #expect(journal.compacting?.phase == .waiting)
            let deadline = Duration.monotonic + .seconds(20)
            journal.prepare()
            while journal.suspension == nil, .monotonic < deadline { journal.run() }
            FileSizeLimit.set(nil)
            while journal.suspension != nil, .monotonic < deadline {
                journal.prepare()
                journal.run()
            }
            #expect(journal.suspension == nil)
            // As many records as make up for what was taken back: the compaction would go on behind them.
            for _ in 0..<3 { try log.put("z") }
            while journal.compacting != nil || log.durableSeq < 5, .monotonic < deadline {
                journal.prepare()
                journal.run()
            }
            #expect(journal.compacting == nil && log.addresses.count == 1)
            #expect(try log.read(at: old).seq == 1)
            #expect(unsafe access("\(directory.path)/devices.jsonl.new", F_OK) != 0)
            #expect(try open(directory).seqs == [1, 2, 3, 4, 5])
        }
    }

    @Test func `addresses stay, over several compactions`() {
        var first = Addresses()
        // Lines of 10 behind a head of 100; the second and the fourth go.
        first.append(100, at: 101)
        first.append(120, at: 111)
        first.append(140, at: 121)
        #expect([100, 110, 120, 130, 140, 155].map(first.place) == [101, nil, 111, nil, 121, 136])
        #expect([101, 111, 121, 136].map(first.address) == [100, 120, 140, 155])
        var second = Addresses()
        second.append(first.address(of: 111), at: 101)
        second.append(first.address(of: 140), at: 111)
        #expect([120, 130, 159, 170].map(second.place) == [101, nil, 111, 122])
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `many addresses are found as single ones are`(seed: UInt64) {
        var numbers = SeededNumbers(state: seed)
        var addresses = Addresses()
        var (address, place) = (UInt64(100), UInt64(100))
        for _ in 0..<500 {
            // Stretches of lines, with what went between them: little, or GiB.
            address += UInt64.random(in: 0...2, using: &numbers) << UInt64.random(in: 0...34, using: &numbers)
            addresses.append(address, at: place)
            let length = UInt64.random(in: 100...5000, using: &numbers)
            address += length
            place += length
        }
        let places = addresses.places()
        for _ in 0..<20_000 {
            let any = UInt64.random(in: 0...(address + 1000), using: &numbers)
            let known = addresses.address(of: UInt64.random(in: 0...(place + 1000), using: &numbers))
            #expect(places(any) == addresses.place(of: any) && places(known) == addresses.place(of: known))
        }
        #expect(places(.max - 1) == addresses.place(of: .max - 1))
    }
}

private func begin(_ journal: Journal, _ log: Log, isLive: @escaping (Log.Candidate) -> Bool) throws {
    #expect(try journal.compact(log, isForced: true, key: { $0["device"]?["id"]?.text }, isLive: isLive))
}

/// Lets the compaction go on, without a commit, until it waits or has ended.
private func advance(_ journal: Journal) throws {
    let deadline = Duration.monotonic + .seconds(20)
    while let compacting = journal.compacting, compacting.phase != .waiting, .monotonic < deadline {
        usleep(500)
        journal.run()
    }
}
