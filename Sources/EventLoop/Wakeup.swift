internal import CLinux
internal import Glibc

/// Lets one thread wake another: a counter in the kernel (eventfd(2)).
///
/// May be rung from any thread; rings add up until the other side takes them.
public final class Wakeup: Sendable {
    private let file: FileDescriptor

    /// A quiet bell.
    ///
    /// - Parameter blocking: whether `wait` sleeps until it rings; otherwise it returns at once.
    public init(blocking: Bool = false) throws(SystemError) {
        let flags = Int32(EFD_CLOEXEC) | (blocking ? 0 : Int32(EFD_NONBLOCK))
        file = FileDescriptor(owning: try system("eventfd") { eventfd(0, flags) })
    }

    /// The descriptor that becomes readable when it rings.
    public var descriptor: CInt { file.raw }

    /// Rings.
    public func ring() {
        var one: UInt64 = 1
        _ = unsafe write(file.raw, &one, 8)
    }

    /// Takes all rings; sleeps for the first one if made blocking.
    public func wait() {
        var count: UInt64 = 0
        while unsafe read(file.raw, &count, 8) < 0 && errno == EINTR {}
    }
}
