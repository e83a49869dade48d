internal import CLinux
internal import CMicrohttpd
internal import EventLoop
internal import Glibc
internal import HTTPMessage

/// One open connection: who is at its other end, and until when it must have delivered.
final class Connection {
    /// How long a request may take to arrive, and an answer to be taken.
    static let timeLimit = Duration.seconds(15)

    let socket: CInt
    let peer: HTTPPeer
    /// What it counts against; nil on a Unix socket.
    let network: PeerNetwork?
    /// The monotonic time at which it is cut off; nil while the hub itself is at work.
    var deadline: Duration?
    /// Whether an answer is on its way out.
    var isAnswering = false

    /// Reads who connected; nil when the system cannot tell, and then nobody is served.
    init?(_ connection: OpaquePointer) {
        socket = unsafe cmhd_socket(connection)
        guard socket >= 0, let address = unsafe cmhd_address(connection) else { return nil }
        if unsafe CInt(address.pointee.sa_family) == AF_UNIX {
            var uid: uid_t = 0
            guard unsafe clinux_peer_uid(socket, &uid) == 0 else { return nil }
            peer = .user(uid)
            network = nil
        } else {
            guard let network = unsafe PeerNetwork(address) else { return nil }
            self.network = network
            peer = .address(unsafe numericHost(address))
        }
        deadline = .monotonic + Self.timeLimit
    }

    /// Starts the time of the next request or answer.
    func restartDeadline() { deadline = .recent + Self.timeLimit }

    /// Ends the connection if its time is over, or its peer has gone; the library then sees its end and closes it.
    func cutOff(at now: Duration) {
        guard let deadline, deadline <= now || !isAnswering && isAbandoned else { return }
        self.deadline = nil
        shutdown(socket, CInt(SHUT_RDWR))
    }

    /// Whether the peer has closed its end and nothing is left to read.
    ///
    /// libmicrohttpd misses that, up to its idle timeout, when the end comes together with the last bytes: it waits for
    /// the next edge of an edge-triggered descriptor. Until then the connection would count against its address.
    private var isAbandoned: Bool {
        var byte: UInt8 = 0
        return unsafe recv(socket, &byte, 1, CInt(MSG_PEEK | MSG_DONTWAIT)) == 0
    }
}

/// The address in digits, without its port.
private func numericHost(_ address: UnsafePointer<sockaddr>) -> String {
    var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let isIPv6 = unsafe CInt(address.pointee.sa_family) == AF_INET6
    let size = socklen_t(isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    guard unsafe getnameinfo(address, size, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0 else {
        return "?"
    }
    return String(decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}
