internal import Glibc
internal import JSON

/// One blocking stream socket with time limits; closed at the end of its life.
struct Connection: ~Copyable {
    /// How long connecting may take, for each address of a host.
    static let connectLimit = Duration.seconds(5)

    private let raw: CInt
    private let endpoint: Endpoint

    private init(_ raw: CInt, _ endpoint: Endpoint) {
        self.raw = raw
        self.endpoint = endpoint
    }

    deinit { close(raw) }

    /// Connects to the endpoint; of a host with several addresses to the first that answers.
    ///
    /// Linux applies SO_SNDTIMEO to connect(2) too (socket(7)). The resolver has time limits of its own.
    static func open(_ endpoint: Endpoint) throws(ControlError) -> Connection {
        switch endpoint {
        case .socket(let path): try open(socket: path)
        case .tcp(let host, let port): try open(host: host, port: port)
        }
    }

    /// Sends all bytes.
    func send(_ bytes: [UInt8], until deadline: ContinuousClock.Instant) throws(ControlError) {
        var sent = 0
        while sent < bytes.count {
            try limit(SO_SNDTIMEO, until: deadline)
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.send(
                    raw, buffer.baseAddress.map { unsafe $0 + sent }, buffer.count - sent, CInt(MSG_NOSIGNAL))
            }
            if count >= 0 { sent += count } else if errno != EINTR { throw broken() }
        }
    }

    /// Takes in what arrived, at most 64 KiB; nothing means the end of the stream.
    func receive(until deadline: ContinuousClock.Instant) throws(ControlError) -> [UInt8] {
        while true {
            try limit(SO_RCVTIMEO, until: deadline)
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = unsafe recv(raw, &chunk, chunk.count, 0)
            if count >= 0 { return Array(chunk.prefix(count)) }
            if errno != EINTR { throw broken() }
        }
    }

    private func limit(_ option: CInt, until deadline: ContinuousClock.Instant) throws(ControlError) {
        let left = ContinuousClock.now.duration(to: deadline)
        guard left > .zero else { throw late() }
        Self.limit(raw, option, left)
    }

    private func broken() -> ControlError {
        errno == EAGAIN
            ? late() : ControlError(.unreachable, "\(endpoint)", errorText(errno), advice: Self.doubt)
    }

    private func late() -> ControlError {
        ControlError(.unreachable, "\(endpoint)", "no answer in time", advice: Self.doubt)
    }

    /// What is true of every request whose answer was lost.
    static let doubt = "what was asked may have been done all the same: look before you ask again"
}

// MARK: - Connecting

extension Connection {
    private static func open(socket path: String) throws(ControlError) -> Connection {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard !bytes.isEmpty, bytes.count < capacity, !bytes.contains(0) else {
            throw ControlError(.address, printable(path), "the path of a Unix socket has 1 to \(capacity - 1) bytes")
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { target in unsafe target.copyBytes(from: bytes) }
        let result = unsafe withUnsafePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe connected(AF_UNIX, address, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        switch result {
        case .success(let raw): return Connection(raw, .socket(path))
        case .failure(let failure): throw explain(failure.code, socket: path)
        }
    }

    private static func explain(_ code: CInt, socket path: String) -> ControlError {
        let subject = printable(path)
        return switch code {
        case EACCES, EPERM:
            ControlError(
                .forbidden, subject, "only root and the hub's own user may do this",
                advice: "try again with sudo or as the user the hub runs as")
        case ENOENT, ENOTDIR:
            ControlError(
                .unreachable, subject, "there is no such socket, so no hub runs with it",
                advice: "start the hub (systemctl start nearhub), or name another one by --socket or --config")
        case ECONNREFUSED:
            ControlError(
                .unreachable, subject, "nobody listens there, the hub does not run",
                advice: "start it (systemctl start nearhub), or name another one by --socket or --config")
        case EAGAIN:
            ControlError(.busy, subject, "the hub takes no connections right now", advice: "try again later")
        default: ControlError(.unreachable, subject, errorText(code))
        }
    }

    private static func open(host: String, port: UInt16) throws(ControlError) -> Connection {
        let endpoint = Endpoint.tcp(host: host, port: port)
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let failed = unsafe getaddrinfo(host, "\(port)", &hints, &list)
        guard failed == 0 else {
            let reason = unsafe failed == EAI_SYSTEM ? errorText(errno) : String(cString: gai_strerror(failed))
            throw ControlError(.unreachable, "\(endpoint)", reason, advice: "check the name of the host")
        }
        defer { unsafe freeaddrinfo(list) }
        var code = ENOENT
        var next = unsafe list
        while let entry = unsafe next {
            if let address = unsafe entry.pointee.ai_addr {
                switch unsafe connected(entry.pointee.ai_family, address, entry.pointee.ai_addrlen) {
                case .success(let raw): return Connection(raw, endpoint)
                case .failure(let failure): code = failure.code
                }
            }
            unsafe next = entry.pointee.ai_next
        }
        let late = code == EINPROGRESS || code == EAGAIN || code == ETIMEDOUT
        throw ControlError(
            .unreachable, "\(endpoint)", late ? "no answer in time" : errorText(code),
            advice: "check address, port and network, and that the hub runs")
    }

    private struct ConnectFailure: Error { let code: CInt }

    /// A connected socket of the address, or the error number.
    private static func connected(
        _ family: CInt, _ address: UnsafePointer<sockaddr>, _ length: socklen_t
    ) -> Result<CInt, ConnectFailure> {
        let raw = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { return .failure(ConnectFailure(code: errno)) }
        limit(raw, SO_SNDTIMEO, connectLimit)
        guard unsafe connect(raw, address, length) == 0 else {
            let code = errno
            close(raw)
            return .failure(ConnectFailure(code: code))
        }
        return .success(raw)
    }

    private static func limit(_ raw: CInt, _ option: CInt, _ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        // A timeval of zero means no limit at all (socket(7)).
        var time = timeval(tv_sec: Int(seconds), tv_usec: max(1, Int(attoseconds / 1_000_000_000_000)))
        _ = unsafe setsockopt(raw, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }
}

/// What an error number means (strerror(3)).
func errorText(_ code: CInt) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
}
