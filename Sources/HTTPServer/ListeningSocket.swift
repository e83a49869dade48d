internal import CLinux
public import EventLoop
internal import Glibc

/// An open socket that waits for connections; closed at the end of its life.
public struct ListeningSocket: ~Copyable {
    let file: FileDescriptor
    /// Where it listens: `192.0.2.1:8080`, `[::]:8080` with the real port, or a path.
    public let address: String
    /// Whether it is a Unix socket.
    public let isLocal: Bool

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
        return ListeningSocket(file: file, address: "\(shown):\(try localPort(raw))", isLocal: false)
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
        if isAnswered { throw SystemError("listen on", path, code: EADDRINUSE) }
        if isSocket(path) { unsafe unlink(path) }
        try system("listen on", path) {
            unsafe withUnsafePointer(to: &address) { pointer in
                unsafe bind(raw, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), size)
            }
        }
        try system("chmod", path) { unsafe chmod(path, 0o600) }
        try system("listen on", path) { listen(raw, SOMAXCONN) }
        return ListeningSocket(file: file, address: path, isLocal: true)
    }
}

/// Whether a socket lies at the path; anything else is not ours to take away.
private func isSocket(_ path: String) -> Bool {
    var info = stat()
    return unsafe lstat(path, &info) == 0 && info.st_mode & Glibc.S_IFMT == Glibc.S_IFSOCK
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
