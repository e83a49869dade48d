internal import CLinux
internal import Glibc

/// What takes part in the loop: a library or a bell with a descriptor, or a timer without one.
///
/// Every library behind a face wants these three from a loop: to run when readable, to run at a deadline, and to run
/// before the wait. All calls come from the loop's thread.
public protocol EventSource: AnyObject {
    /// The descriptor whose readability is awaited; nil for a source that only has deadlines.
    var descriptor: CInt? { get }
    /// Time until `run` is wanted even without readiness; nil when there is no such time, zero when work is pending.
    var timeout: Duration? { get }
    /// Called when the descriptor is readable or the timeout has passed.
    func run()
    /// Called before each wait, in the order in which the sources were added.
    func prepare()
}

extension EventSource {
    /// No deadline.
    public var timeout: Duration? { nil }
    /// Nothing to do.
    public func prepare() {}
}

/// One thread's loop over its event sources (epoll(7), level-triggered).
///
/// Not Sendable on purpose: the compiler keeps it, and all that it drives, on the thread that made it.
public final class EventLoop {
    private struct Registration {
        let id: UInt64
        let source: any EventSource
    }

    private let epoll: FileDescriptor
    private var registrations: [Registration] = []
    private var nextID: UInt64 = 1
    private var stopped = false

    /// An empty loop.
    public init() throws(SystemError) {
        epoll = FileDescriptor(owning: try system("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) })
    }

    /// Adds a source at the end of the order; the loop keeps it alive until `remove`.
    public func add(_ source: any EventSource) throws(SystemError) {
        let id = nextID
        if let descriptor = source.descriptor {
            var event = unsafe epoll_event()
            unsafe event.events = EPOLLIN.rawValue
            unsafe event.data.u64 = id
            try system("epoll_ctl") { unsafe epoll_ctl(epoll.raw, EPOLL_CTL_ADD, descriptor, &event) }
        }
        nextID += 1
        registrations.append(Registration(id: id, source: source))
    }

    /// Takes a source out, from then on it is not called; its descriptor must still be open.
    public func remove(_ source: any EventSource) {
        if let descriptor = source.descriptor { _ = epoll_ctl(epoll.raw, EPOLL_CTL_DEL, descriptor, nil) }
        registrations.removeAll { $0.source === source }
    }

    /// Makes `run` return after the current turn.
    public func stop() { stopped = true }

    /// Runs until `stop`.
    public func run() throws(SystemError) {
        stopped = false
        while !stopped { try turn() }
    }

    /// One turn: prepare all, wait, run those that are ready or due.
    public func turn() throws(SystemError) {
        for registration in registrations where isHere(registration) { registration.source.prepare() }
        var events = unsafe InlineArray<16, epoll_event>(repeating: epoll_event())
        let wait = milliseconds(until: registrations.lazy.compactMap(\.source.timeout).min())
        var span = unsafe events.mutableSpan
        let ready = try system("epoll_wait") {
            unsafe span.withUnsafeMutableBufferPointer { buffer in
                unsafe epoll_wait(epoll.raw, buffer.baseAddress, Int32(buffer.count), wait)
            }
        }
        for registration in registrations {
            let isReadable = (0..<Int(ready)).contains { unsafe events[$0].data.u64 == registration.id }
            guard isReadable || (registration.source.timeout ?? .seconds(1)) <= .zero, isHere(registration) else {
                continue
            }
            registration.source.run()
        }
    }

    /// Whether no other source has taken it out meanwhile.
    private func isHere(_ registration: Registration) -> Bool { registrations.contains { $0.id == registration.id } }

    private func milliseconds(until timeout: Duration?) -> Int32 {
        guard let timeout else { return -1 }
        let (seconds, attoseconds) = timeout.components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let milliseconds = seconds.multipliedReportingOverflow(by: 1000)
        let whole = milliseconds.partialValue.addingReportingOverflow(
            (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
        return milliseconds.overflow || whole.overflow ? Int32.max : Int32(clamping: whole.partialValue)
    }
}
