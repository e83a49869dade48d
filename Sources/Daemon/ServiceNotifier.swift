internal import CLinux
internal import EventLoop
internal import Glibc

/// Tells systemd how the service is doing (sd_notify(3)): a datagram to the socket in NOTIFY_SOCKET.
///
/// Its own socket is opened once, so that it can still speak when connections have taken every other descriptor.
final class ServiceNotifier {
    /// How often systemd wants to hear that the loop turns; nil when it does not.
    let watchdogInterval: Duration?
    private let socketPath: String?
    private let socket: FileDescriptor

    /// Reads what systemd put in the environment.
    init() {
        socketPath = environment("NOTIFY_SOCKET")
        socket = FileDescriptor(owning: Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
        let isForUs = environment("WATCHDOG_PID").map { $0 == String(getpid()) } ?? true
        watchdogInterval =
            isForUs ? environment("WATCHDOG_USEC").flatMap { Int64($0) }.map { .microseconds($0 / 2) } : nil
    }

    /// Sends assignments such as `READY=1`, separated by newlines; nothing without systemd.
    ///
    /// - Parameters:
    ///   - state: the assignments.
    ///   - waits: whether it waits for room when nobody has read the last ones; the loop never does.
    func notify(_ state: String, waits: Bool = false) {
        guard let socketPath else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var path = Array(socketPath.utf8)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        // A leading @ stands for the abstract namespace.
        if path.first == UInt8(ascii: "@") { path[0] = 0 }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path) }
        let size = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let bytes = Array(state.utf8)
        let flags = CInt(MSG_NOSIGNAL) | (waits ? 0 : CInt(MSG_DONTWAIT))
        _ = unsafe withUnsafePointer(to: &address) { pointer in
            let target = unsafe UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
            return unsafe sendto(socket.raw, bytes, bytes.count, flags, target, size)
        }
    }
}

private func environment(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
}
