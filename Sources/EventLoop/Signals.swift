internal import CLinux
internal import Glibc

/// Turns signals into events of the loop (signalfd(2)).
///
/// Make it before any thread starts: it blocks the signals for this thread, and threads inherit that.
public final class Signals: EventSource {
    private let file: FileDescriptor
    /// Takes each signal that arrives.
    public var onSignal: (CInt) -> Void = { _ in }

    /// Blocks the given signals and waits for them; SIGPIPE is ignored altogether.
    public init(_ signals: [CInt]) throws(SystemError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
        let flags = Int32(SFD_CLOEXEC | SFD_NONBLOCK)
        file = FileDescriptor(owning: try system("signalfd") { unsafe signalfd(-1, &set, flags) })
    }

    /// The signalfd.
    public var descriptor: CInt? { file.raw }

    /// Whether the given signal waits to be delivered; it goes on waiting.
    public func isPending(_ signal: CInt) -> Bool {
        var set = sigset_t()
        unsafe sigpending(&set)
        return unsafe sigismember(&set, signal) == 1
    }

    /// Delivers all signals that wait.
    public func run() {
        var info = signalfd_siginfo()
        while unsafe read(file.raw, &info, MemoryLayout<signalfd_siginfo>.size) > 0 {
            onSignal(CInt(truncatingIfNeeded: info.ssi_signo))
        }
    }
}
