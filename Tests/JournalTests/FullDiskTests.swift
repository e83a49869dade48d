internal import EventLoop
internal import Glibc
internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

/// A disk that takes no writes: each test in a process of its own, since the limit that fills it is the process's.
@Suite("A full disk")
struct FullDiskTests {
    @Test func `a group that finds no room is taken back whole, and all goes on when there is room`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let log = try open(directory).log
            let journal = try Journal([log], retryInterval: .milliseconds(20)) { error in fatalError("\(error)") }
            let loop = try EventLoop()
            var events: [String] = []
            journal.onDurable = { events.append("durable \(journal.durablePosition)") }
            journal.onTakenBack = { events.append("taken back to \(journal.position)") }
            journal.onResumed = { events.append("resumed") }
            try loop.add(journal)
            let first = try log.put("first")
            while journal.durablePosition < 1 { try loop.turn() }
            let before = try directory.bytes()
            // Room for one line and a half.
            FileSizeLimit.set(log.size + 200)
            for id in ["a", "b", "c"] { try log.put(id) }
            journal.prepare()
            try log.put("staged meanwhile")
            while journal.suspension == nil { try loop.turn() }
            #expect(try directory.bytes() == before)
            #expect(log.seq == 1 && log.durableSeq == 1 && log.size == UInt64(before.count))
            #expect(journal.position == 1 && journal.durablePosition == 1)
            #expect(journal.suspension?.isFull == true)
            #expect(try log.read(at: first).seq == 1)
            let refusal = JournalError(
                .suspended(SystemError("pwrite", log.file.path, code: EFBIG)), file: log.file.path)
            #expect(throws: refusal) { try log.put("refused") }
            // Some tries that find no room either.
            let later = Duration.monotonic + .milliseconds(150)
            while .monotonic < later { try loop.turn() }
            #expect(events == ["durable 1", "taken back to 1"])
            #expect(try directory.bytes().starts(with: before))
            FileSizeLimit.set(nil)
            while journal.suspension != nil { try loop.turn() }
            #expect(events.last == "resumed")
            let second = try log.put("second")
            try journal.flush()
            #expect(try log.read(at: second).seq == 2)
            let again = try open(directory)
            #expect(again.seqs == [1, 2])
            #expect(again.recovery.torn == nil)
        }
    }

    @Test func `a byte of room more or less makes no difference`() async {
        await #expect(processExitsWith: .success) {
            for room in UInt64(0)...260 {
                let directory = try TemporaryDirectory()
                let log = try open(directory).log
                let journal = try Journal([log], retryInterval: .zero) { error in fatalError("\(error)") }
                try log.put("kept")
                try journal.flush()
                let before = try directory.bytes()
                FileSizeLimit.set(log.size + room)
                try log.put("one")
                try log.put("two")
                try journal.flush()
                FileSizeLimit.set(nil)
                let isRefused = journal.suspension != nil
                #expect(try isRefused == (directory.bytes() == before))
                #expect(log.seq == (isRefused ? 1 : 3))
                journal.prepare()
                try journal.flush()
                try log.put("more")
                try journal.flush()
                #expect(try open(directory).seqs == Array(1...log.seq))
            }
        }
    }

    @Test func `what the first log of a group has on disk already is taken back with the rest`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let devices = try open(directory).log
            let profiles = try Log.open(directory: directory.path, name: "profiles") { _, _ in }.log
            let journal = try Journal([profiles, devices]) { error in fatalError("\(error)") }
            for _ in 0..<5 { try devices.put("d") }
            try journal.flush()
            let before = try (directory.bytes("profiles.jsonl"), directory.bytes())
            FileSizeLimit.set(devices.size)
            try profiles.put("p")
            try devices.put("d")
            try journal.flush()
            #expect(journal.suspension?.error.file == devices.file.path)
            #expect(try directory.bytes("profiles.jsonl") == before.0)
            #expect(try directory.bytes() == before.1)
            #expect(profiles.seq == 0 && devices.seq == 5)
            #expect(throws: JournalError.self) { try profiles.put("p") }
        }
    }

    @Test func `where nothing was written nothing is cut back, and all goes on`() throws {
        // It has no room for a write, and no length that could be changed.
        let full = try LogFile("/dev/full", O_RDWR)
        let log = Log(name: "devices", file: full, seq: 0, size: 0, settled: 0)
        let journal = try journal([log])
        try log.put("x")
        journal.prepare()
        var report = pollfd(fd: try #require(journal.descriptor), events: Int16(POLLIN), revents: 0)
        #expect(unsafe poll(&report, 1, 5000) == 1)
        journal.run()
        #expect(journal.suspension?.isFull == true)
        #expect(log.seq == 0)
    }

    @Test func `a clean stop on a full disk leaves what is on disk`() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let log = try open(directory).log
            let journal = try journal([log])
            try log.put("x")
            try journal.flush()
            FileSizeLimit.set(log.size)
            try log.put("y")
            try journal.flush()
            log.mark(settled: 1)
            try journal.flush()
            #expect(try open(directory).seqs == [1])
        }
    }

    @Test func `what a write may fail with`() {
        for code in [ENOSPC, EDQUOT, EFBIG, EIO, EROFS] {
            #expect(SystemError("pwrite", code: code).isRefusedWrite)
            #expect(SystemError("pwrite", code: code).isFullDisk == (code != EIO && code != EROFS))
        }
        for code in [EBADF, EINVAL, EPERM, EFAULT] { #expect(!SystemError("pwrite", code: code).isRefusedWrite) }
    }
}
