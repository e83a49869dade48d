internal import EventLoop
internal import Glibc
internal import Synchronization
internal import Testing

@Suite("A bell between threads")
struct WakeupTests {
    @Test func `rings add up until they are taken`() throws {
        let bell = try Wakeup()
        #expect(!isReadable(bell))
        for _ in 0..<3 { bell.ring() }
        #expect(isReadable(bell))
        bell.wait()
        #expect(!isReadable(bell))
        bell.wait()
        #expect(!isReadable(bell))
    }

    @Test func `a blocking bell wakes a thread that sleeps on it`() throws {
        let question = try Wakeup(blocking: true)
        let answer = try Wakeup(blocking: true)
        let count = Counter()
        try startThread("test-answers") {
            for _ in 0..<100 {
                question.wait()
                count.value.add(1, ordering: .sequentiallyConsistent)
                answer.ring()
            }
        }
        for round in 1...100 {
            question.ring()
            answer.wait()
            #expect(count.value.load(ordering: .sequentiallyConsistent) == round)
        }
    }

    private func isReadable(_ bell: Wakeup) -> Bool {
        var entry = pollfd(fd: bell.descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&entry, 1, 0) == 1
    }
}

private final class Counter: Sendable {
    let value = Atomic<Int>(0)
}

@Suite("A timer")
struct TimerTests {
    @Test func `it fires when it is due and not before`() {
        var fired = 0
        let due = Timer(every: .zero) { fired += 1 }
        due.run()
        #expect(fired == 1)
        let later = Timer(every: .seconds(3600)) { fired += 10 }
        later.run()
        #expect(fired == 1)
    }

    @Test func `its time goes down and never up`() throws {
        let timer = Timer(every: .seconds(3600)) {}
        var last = try #require(timer.timeout)
        #expect(last <= .seconds(3600))
        for _ in 0..<1000 {
            let left = try #require(timer.timeout)
            #expect(left <= last)
            last = left
        }
        #expect(last > .seconds(3000))
    }

    @Test func `unarmed it has no time and does nothing`() {
        var fired = 0
        let timer = Timer(every: .zero, armed: false) { fired += 1 }
        #expect(timer.timeout == nil)
        #expect(!timer.isArmed)
        timer.run()
        #expect(fired == 0)
        timer.isArmed = true
        timer.run()
        timer.run()
        #expect(fired == 2)
        timer.isArmed = false
        timer.run()
        #expect(fired == 2)
        #expect(timer.timeout == nil)
    }

    @Test func `arming it twice changes nothing`() throws {
        let timer = Timer(every: .seconds(3600)) {}
        let before = try #require(timer.timeout)
        timer.isArmed = true
        #expect(try #require(timer.timeout) <= before)
    }

    @Test func `its action may disarm it`() {
        var fired = 0
        var timer: Timer?
        timer = Timer(every: .zero) {
            fired += 1
            timer?.isArmed = false
        }
        timer?.run()
        timer?.run()
        #expect(fired == 1)
        timer = nil
    }

    @Test func `timers of one loop fire in the order in which they were added`() throws {
        let loop = try EventLoop()
        var order: [Int] = []
        for number in 0..<5 { try loop.add(Timer(every: .zero) { order.append(number) }) }
        try loop.turn()
        #expect(order == [0, 1, 2, 3, 4])
    }

    @Test func `the monotonic clock never goes back`() {
        var last = Duration.monotonic
        for _ in 0..<10_000 {
            let now = Duration.monotonic
            #expect(now >= last)
            last = now
        }
    }

    @Test(
        arguments: [
            (Duration.zero, 0), (.nanoseconds(999_999), 0), (.milliseconds(1), 1),
            (.seconds(2) + .microseconds(1999), 2001),
            (.milliseconds(-1), -1),
            (.seconds(Int64.max), .max), (.seconds(Int64.min), .min), (.seconds(-1) + .milliseconds(1), -999),
            (.seconds(Int64.max / 1000) + .milliseconds(999), .max), (.seconds(4_294_967_296), 4_294_967_296_000),
        ] as [(Duration, Int64)])
    func `a duration has whole milliseconds`(duration: Duration, milliseconds: Int64) {
        #expect(duration.milliseconds == milliseconds)
    }
}

@Suite("System calls")
struct SystemCallTests {
    @Test func `an interrupted call runs again, a failed one is named`() throws {
        var calls = 0
        let result = try system("read") { () -> Int in
            calls += 1
            if calls < 3 {
                errno = EINTR
                return -1
            }
            return 42
        }
        #expect(result == 42)
        #expect(calls == 3)
        let error = #expect(throws: SystemError.self) {
            try system("open", "/a/b") { () -> CInt in
                errno = ENOSPC
                return -1
            }
        }
        #expect(error == SystemError("open", "/a/b", code: ENOSPC))
        #expect(error?.description == "open /a/b: No space left on device")
        #expect(SystemError("poll", code: EINVAL).description == "poll: Invalid argument")
    }

    @Test func `a descriptor is closed with its owner, unless it was given away`() throws {
        let kept: CInt
        let gone: CInt
        do {
            let first = try FileDescriptor.open("/dev/null", O_RDONLY)
            let second = try FileDescriptor.open("/dev/null", O_RDONLY)
            gone = first.raw
            #expect(fcntl(gone, F_GETFD) == FD_CLOEXEC)
            kept = second.relinquish()
        }
        let owner = FileDescriptor(owning: kept)
        #expect(fcntl(owner.raw, F_GETFD) == FD_CLOEXEC)
        #expect(gone != kept)
    }

    @Test func `a file that cannot be opened is named, and a link is not followed`() {
        #expect(throws: SystemError("open", "/nowhere/file", code: ENOENT)) {
            try openAndClose("/nowhere/file")
        }
        #expect(throws: SystemError("open", "/proc/self/exe", code: ELOOP)) {
            try openAndClose("/proc/self/exe")
        }
    }

    private func openAndClose(_ path: String) throws(SystemError) {
        _ = try FileDescriptor.open(path, O_RDONLY)
    }
}

@Suite("Signals")
struct SignalTests {
    @Test func `signals of a thread arrive as events, in no other way`() throws {
        let done = try Wakeup(blocking: true)
        let box = Seen()
        try startThread("test-signals") {
            defer { done.ring() }
            guard let loop = try? EventLoop(), let signals = try? Signals([SIGUSR1, SIGUSR2]) else { return }
            signals.onSignal = { signal in
                box.signals.withLock { $0.append(signal) }
                if box.signals.withLock({ $0.count }) == 2 { loop.stop() }
            }
            guard (try? loop.add(signals)) != nil else { return }
            pthread_kill(pthread_self(), SIGUSR2)
            pthread_kill(pthread_self(), SIGUSR1)
            try? loop.run()
        }
        done.wait()
        #expect(box.signals.withLock { $0.sorted() } == [SIGUSR1, SIGUSR2])
    }
}

private final class Seen: Sendable {
    let signals = Mutex<[CInt]>([])
}
