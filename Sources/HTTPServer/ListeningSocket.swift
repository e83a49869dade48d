internal import CLinux
public import EventLoop
internal import Glibc

/// An open socket that waits for connections; closed at the end of its life.
public struct ListeningSocket: ~Copyable {
    let file: FileDescriptor
    /// Where it listens: `192.0.2.1:8080`, `[::]:8080` with the real port, or a path.
    public let address: String
    /// The file of a Unix socket.
    let socketFile: SocketFile?

    /// Listens for TCP connections.
    ///
    /// - Parameters:
    ///   - host: an IPv4 or IPv6 address without brackets.
    ///   - port: 0 takes any free one.
    public static func tcp(host: String, port: UInt16) throws(SystemError) -> ListeningSocket {
        let shown = host.contains(":") ? "[\(host)]" : host
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, String(port), &hints, &found) == 0, let info = unsafe found?.pointee else {
            throw SystemError("listen on", "\(shown):\(port)", code: EADDRNOTAVAIL)
        }
        defer { unsafe freeaddrinfo(found) }
        let family = unsafe info.ai_family
        let file = FileDescriptor(
            owning: try system("socket for", "\(shown):\(port)") {
                socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
            })
        var on: CInt = 1
        let size = socklen_t(MemoryLayout<CInt>.size)
        unsafe setsockopt(file.raw, SOL_SOCKET, SO_REUSEADDR, &on, size)
        if family == AF_INET6 { unsafe setsockopt(file.raw, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &on, size) }
        let raw = file.raw
        try system("listen on", "\(shown):\(port)") { unsafe bind(raw, info.ai_addr, info.ai_addrlen) }
        try system("listen on", "\(shown):\(port)") { listen(raw, SOMAXCONN) }
        return ListeningSocket(file: file, address: "\(shown):\(try localPort(raw))", socketFile: nil)
    }

    /// Listens for connections of this machine's processes (unix(7)).
    ///
    /// A socket that a daemon left behind when it was killed is replaced; one that somebody answers on is not.
    ///
    /// - Parameter path: at most 107 bytes.
    public static func unix(path: String) throws(SystemError) -> ListeningSocket {
        var address = sockaddr_un()
        guard fill(&address, path) else { throw SystemError("listen on", path, code: ENAMETOOLONG) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let file = try unixSocket(path)
        let raw = file.raw
        let probe = try unixSocket(path)
        let isAnswered = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe connect(probe.raw, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), size) == 0
        }
        let why = errno
        if isAnswered { throw SystemError("listen on", path, code: EADDRINUSE) }
        if unsafe access(path, F_OK) == 0, SocketFile(path) == nil {
            throw SystemError("listen on", path, code: ENOTSOCK)
        }
        if why == ECONNREFUSED { unsafe unlink(path) }
        try system("listen on", path) {
            unsafe withUnsafePointer(to: &address) { pointer in
                unsafe bind(raw, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), size)
            }
        }
        try system("chmod", path) { unsafe chmod(path, 0o600) }
        try system("listen on", path) { listen(raw, SOMAXCONN) }
        return ListeningSocket(file: file, address: absolutePath(path), socketFile: SocketFile(path))
    }
}

/// The file of a Unix socket, known again by its inode: another hub may have put its own in its place.
struct SocketFile: Equatable {
    private let path: String
    private let device: dev_t
    private let inode: ino_t

    /// The socket at the path; nil when there is none, or something else.
    init?(_ path: String) {
        var info = stat()
        guard unsafe lstat(path, &info) == 0, info.st_mode & Glibc.S_IFMT == Glibc.S_IFSOCK else { return nil }
        self.path = path
        device = info.st_dev
        inode = info.st_ino
    }

    /// Takes it away, if it is still there.
    func remove() {
        if SocketFile(path) == self { _ = unsafe unlink(path) }
    }
}

private func unixSocket(_ path: String) throws(SystemError) -> FileDescriptor {
    FileDescriptor(
        owning: try system("socket for", path) {
            socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        })
}

/// Whether the path fits.
private func fill(_ address: inout sockaddr_un, _ path: String) -> Bool {
    address.sun_family = sa_family_t(AF_UNIX)
    return unsafe withUnsafeMutableBytes(of: &address.sun_path) { space in
        guard path.utf8.count < space.count else { return false }
        unsafe space.copyBytes(from: path.utf8)
        return true
    }
}

private func localPort(_ socket: CInt) throws(SystemError) -> UInt16 {
    var address = sockaddr_in6()
    var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
    try system("getsockname") {
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe getsockname(socket, UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), &size)
        }
    }
    // The port stands at the same place in sockaddr_in and sockaddr_in6.
    return UInt16(bigEndian: address.sin6_port)
}
