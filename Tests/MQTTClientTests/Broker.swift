import EventLoop
import Glibc
import Testing

/// A Mosquitto on a free port of the loopback address, which ends with this object.
final class Broker {
    let port: UInt16
    private let path: String
    private var process: pid_t = 0

    /// Writes the configuration, and starts the broker unless told otherwise.
    init(_ lines: [String] = [], allowsAnonymous: Bool = true, starts: Bool = true) throws {
        port = try freePort()
        path = "/tmp/nearhub-test-broker-\(getpid())-\(port).conf"
        let text = """
            listener \(port) 127.0.0.1
            allow_anonymous \(allowsAnonymous)
            set_tcp_nodelay true
            max_queued_messages 0
            log_type error
            \(lines.joined(separator: "\n"))

            """
        let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o644)
        #expect(unsafe write(file.raw, text, text.utf8.count) == text.utf8.count)
        if starts { try start() }
    }

    deinit {
        end(SIGKILL)
        unsafe unlink(path)
    }

    /// Starts it, and waits until it listens.
    func start() throws {
        process = try spawn(["/usr/sbin/mosquitto", "-c", path])
        let end = Duration.monotonic + .seconds(10)
        while !accepts(port) {
            try #require(.monotonic < end, "mosquitto does not listen")
            usleep(10_000)
        }
    }

    /// Ends it, and waits for its end.
    func end(_ signal: CInt = SIGTERM) {
        guard process > 0 else { return }
        kill(process, signal)
        var status: CInt = 0
        unsafe waitpid(process, &status, 0)
        process = 0
    }

    /// Sends it a signal, such as SIGSTOP.
    func send(_ signal: CInt) { kill(process, signal) }

    /// Publishes by mosquitto_pub(1).
    func publish(_ arguments: String...) throws {
        let publisher = try spawn(["/usr/bin/mosquitto_pub", "-h", "127.0.0.1", "-p", "\(port)"] + arguments)
        var status: CInt = 0
        unsafe waitpid(publisher, &status, 0)
        #expect(status == 0)
    }
}

/// A TCP port of the loopback address that nobody listens on.
func freePort() throws -> UInt16 {
    let probe = FileDescriptor(owning: try system("socket") { socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0) })
    return try bind(probe, listens: false)
}

/// Binds a socket to a free port of the loopback address.
func bind(_ socket: borrowing FileDescriptor, listens: Bool) throws -> UInt16 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    try unsafe withUnsafeMutableBytes(of: &address) { bytes in
        let pointer = unsafe bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
        try #require(unsafe Glibc.bind(socket.raw, pointer, size) == 0)
        if listens { try #require(listen(socket.raw, 8) == 0) }
        try #require(unsafe getsockname(socket.raw, pointer, &size) == 0)
    }
    return UInt16(bigEndian: address.sin_port)
}

/// Whether somebody listens on a port of the loopback address.
func accepts(_ port: UInt16) -> Bool {
    let probe = FileDescriptor(owning: socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    address.sin_port = port.bigEndian
    return unsafe withUnsafeBytes(of: &address) { bytes in
        let pointer = unsafe bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
        return unsafe connect(probe.raw, pointer, socklen_t(bytes.count)) == 0
    }
}

/// Starts a program.
func spawn(_ arguments: [String]) throws -> pid_t {
    var strings = unsafe arguments.map { unsafe strdup($0) } + [nil]
    defer { unsafe strings.forEach { unsafe free($0) } }
    var process: pid_t = 0
    let code = unsafe posix_spawn(&process, arguments[0], nil, nil, &strings, environ)
    try #require(code == 0, "\(arguments[0]) does not start")
    return process
}
