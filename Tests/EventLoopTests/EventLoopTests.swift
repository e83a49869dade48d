internal import EventLoop
internal import Glibc
internal import Testing

/// A source that counts how often it was called and does as told.
private final class Probe: EventSource {
    var descriptor: CInt?
    var timeout: Duration?
    var runs = 0
    var prepared = 0
    var onRun: () -> Void = {}
    var onPrepare: () -> Void = {}

    init(descriptor: CInt? = nil, timeout: Duration? = nil) {
        self.descriptor = descriptor
        self.timeout = timeout
    }

    func run() {
        runs += 1
        onRun()
    }

    func prepare() {
        prepared += 1
        onPrepare()
    }
}

@Suite("The event loop")
struct EventLoopTests {
    let loop: EventLoop

    init() throws { loop = try EventLoop() }

    @Test func `only what is readable or due runs`() throws {
        let rung = try Wakeup()
        let quiet = try Wakeup()
        let sources = [
            Probe(descriptor: rung.descriptor), Probe(descriptor: quiet.descriptor), Probe(timeout: .zero),
            Probe(timeout: .seconds(3600)), Probe(descriptor: quiet.descriptor, timeout: .seconds(-1)), Probe(),
        ]
        // One descriptor can be added once.
        sources[4].descriptor = nil
        for source in sources { try loop.add(source) }
        rung.ring()
        try loop.turn()
        #expect(sources.map(\.runs) == [1, 0, 1, 0, 1, 0])
        #expect(sources.allSatisfy { $0.prepared == 1 })
    }

    @Test func `what stays readable runs in each turn, until it is taken`() throws {
        let bell = try Wakeup()
        let source = Probe(descriptor: bell.descriptor)
        let clock = Probe(timeout: .zero)
        try loop.add(source)
        try loop.add(clock)
        bell.ring()
        try loop.turn()
        try loop.turn()
        #expect(source.runs == 2)
        bell.wait()
        try loop.turn()
        #expect(source.runs == 2)
        #expect(clock.runs == 3)
    }

    @Test func `preparing and running keep the order of adding`() throws {
        var calls: [String] = []
        var sources: [Probe] = []
        for name in ["a", "b", "c"] {
            let source = Probe(timeout: .zero)
            source.onPrepare = { calls.append("prepare \(name)") }
            source.onRun = { calls.append("run \(name)") }
            sources.append(source)
            try loop.add(source)
        }
        try loop.turn()
        #expect(calls == ["prepare a", "prepare b", "prepare c", "run a", "run b", "run c"])
        #expect(sources.count == 3)
    }

    @Test func `a source that is removed while another runs does not run any more`() throws {
        let bell = try Wakeup()
        let first = Probe(timeout: .zero)
        let second = Probe(descriptor: bell.descriptor)
        let third = Probe(timeout: .zero)
        first.onRun = {
            loop.remove(second)
            loop.remove(third)
        }
        for source in [first, second, third] { try loop.add(source) }
        bell.ring()
        try loop.turn()
        #expect([first, second, third].map(\.runs) == [1, 0, 0])
        try loop.turn()
        #expect([first, second, third].map(\.prepared) == [2, 1, 1])
    }

    @Test func `a source that removes itself while it runs is gone, and the others run on`() throws {
        let first = Probe(timeout: .zero)
        let second = Probe(timeout: .zero)
        first.onRun = { loop.remove(first) }
        try loop.add(first)
        try loop.add(second)
        try loop.turn()
        try loop.turn()
        #expect([first.runs, second.runs] == [1, 2])
    }

    @Test func `a source that is removed while another prepares is neither prepared nor run`() throws {
        let first = Probe(timeout: .zero)
        let second = Probe(timeout: .zero)
        first.onPrepare = { loop.remove(second) }
        try loop.add(first)
        try loop.add(second)
        try loop.turn()
        #expect([second.prepared, second.runs] == [0, 0])
    }

    @Test func `a source that is added while another runs waits for the next turn`() throws {
        let first = Probe(timeout: .zero)
        let second = Probe(timeout: .zero)
        var failure: SystemError?
        first.onRun = {
            guard first.runs == 1 else { return }
            do { try loop.add(second) } catch { failure = error as? SystemError }
        }
        try loop.add(first)
        try loop.turn()
        #expect([second.prepared, second.runs] == [0, 0])
        try loop.turn()
        #expect([second.prepared, second.runs] == [1, 1])
        #expect(failure == nil)
    }

    @Test func `a removed source lives no longer than others hold it`() throws {
        weak var held: Probe?
        do {
            let source = Probe()
            held = source
            try loop.add(source)
        }
        #expect(held != nil)
        if let source = held { loop.remove(source) }
        #expect(held == nil)
    }

    @Test func `more ready descriptors than one wait reports are all served`() throws {
        var bells: [Wakeup] = []
        var sources: [Probe] = []
        for _ in 0..<40 {
            let bell = try Wakeup()
            let source = Probe(descriptor: bell.descriptor)
            source.onRun = { bell.wait() }
            bells.append(bell)
            sources.append(source)
            try loop.add(source)
            bell.ring()
        }
        for _ in 0..<3 { try loop.turn() }
        #expect(sources.allSatisfy { $0.runs == 1 })
        #expect(bells.count == 40)
    }

    @Test func `stop ends run after the turn under way`() throws {
        let first = Probe(timeout: .zero)
        let second = Probe(timeout: .zero)
        first.onRun = { loop.stop() }
        try loop.add(first)
        try loop.add(second)
        try loop.run()
        #expect([first.runs, second.runs] == [1, 1])
        try loop.run()
        #expect([first.runs, second.runs] == [2, 2])
    }

    @Test func `a descriptor that cannot be waited for is refused with its call`() throws {
        let error = #expect(throws: SystemError.self) { try loop.add(Probe(descriptor: -1)) }
        #expect(error?.code == EBADF)
        #expect(error?.description == "epoll_ctl: Bad file descriptor")
        let clock = Probe(timeout: .zero)
        try loop.add(clock)
        try loop.turn()
        #expect(clock.runs == 1)
    }

    @Test(arguments: [
        Duration.zero, .seconds(-1), .nanoseconds(-1), .seconds(Int64.min), .milliseconds(-500) + .nanoseconds(1),
    ])
    func `a time that has passed never makes the loop sleep`(timeout: Duration) throws {
        let source = Probe(timeout: timeout)
        try loop.add(source)
        try loop.turn()
        #expect(source.runs == 1)
    }

    @Test(arguments: [Duration.seconds(Int64.max), .seconds(3_000_000), .nanoseconds(1)])
    func `a time yet to come does not run a source early`(timeout: Duration) throws {
        let bell = try Wakeup()
        let source = Probe(timeout: timeout)
        let ready = Probe(descriptor: bell.descriptor)
        try loop.add(source)
        try loop.add(ready)
        bell.ring()
        try loop.turn()
        #expect([source.runs, ready.runs] == [0, 1])
    }
}
