internal import EventLoop
internal import Glibc

/// The life of a client's own thread: one session after the other, until it is told to stop.
///
/// `mosquitto_loop_start` would start such a thread too, but its thread ends in silence on several errors and cannot be
/// stopped while it reconnects.
struct NetworkThread {
    private let options: MQTTOptions
    private let link: Link

    init(_ options: MQTTOptions, _ link: Link) {
        self.options = options
        self.link = link
    }

    func run() {
        blockPipeSignal()
        var backOff = options.longestWait.map { BackOff(longest: $0) }
        var random = SystemRandomNumberGenerator()
        var accepted: UInt64 = 0
        while !link.isStopping {
            link.post(.connecting)
            let session = Session(options, link, number: accepted + 1)
            let loss = session.run()
            link.setConnected(false)
            if session.wasAccepted { accepted += 1 }
            if session.wasUseful { backOff?.reset() }
            guard !link.isStopping else { break }
            let wait = backOff?.next(using: &random)
            link.post(.disconnected(loss, retryIn: wait))
            guard let wait else { break }
            pause(wait)
        }
        link.farewell.ring()
    }

    /// Sleeps, or until the client is told to stop.
    private func pause(_ wait: Duration) {
        let end = Duration.monotonic + wait
        while !link.isStopping {
            let left = end - .monotonic
            guard left > .zero else { return }
            var bell = pollfd(fd: link.work.descriptor, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&bell, 1, CInt(clamping: left.milliseconds + 1)) > 0 { link.work.wait() }
        }
    }
}

/// libmosquitto writes with write(2): on this thread a broken connection is an error, not a signal.
private func blockPipeSignal() {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, SIGPIPE)
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
}
