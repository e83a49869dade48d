internal import CMicrohttpd
public import EventLoop
internal import Glibc
public import HTTPMessage

/// Serves HTTP/1.1 and 1.0 on one listening socket, by libmicrohttpd in the loop.
///
/// It judges each head itself (`RequestHead`), bounds bodies, connections and times, and hands whole requests to its
/// handler. Not Sendable: it lives on the loop's thread.
@safe public final class HTTPServer: EventSource {
    /// Takes a whole request; answers through the exchange, at once or later.
    public typealias Handler = (HTTPRequest, HTTPExchange) -> Void

    /// Where it listens.
    public let address: String
    /// Requests answered so far.
    public private(set) var requests: UInt64 = 0
    let limits: ConnectionLimits?
    private let socketFile: SocketFile?
    private let handler: Handler
    private var daemon: OpaquePointer?
    private var connections: [ObjectIdentifier: Connection] = [:]
    private var nextSweep: Duration?
    /// Whether answers have come that the library has not taken yet.
    private var hasAnswers = false
    /// Exchanges that wait for their answers without being suspended.
    private var waiting = 0
    /// The monotonic time of the library's last run.
    private(set) var now = Duration.zero
    /// Whether the library's last run brought anything but questions for those answers.
    var hasProgressed = false

    /// Starts to serve; the loop must `add` it.
    ///
    /// - Parameters:
    ///   - socket: the open socket; kept until the end of the server's life.
    ///   - limits: bounds of connections, shared by all servers over TCP; nil for a Unix socket, which has 64 at most.
    ///   - handler: called on the loop's thread.
    public init(_ socket: consuming ListeningSocket, limits: ConnectionLimits?, _ handler: @escaping Handler)
        throws(SystemError)
    {
        address = socket.address
        socketFile = socket.socketFile
        self.limits = limits
        self.handler = handler
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        let maximum: UInt32 = limits == nil ? 64 : 65_552
        let listening = socket.file.relinquish()
        unsafe daemon = cmhd_start(
            listening, maximum, 10, 16 * 1024, keepEscapes, admit, access, completed, connectionChanged, context)
        guard unsafe daemon != nil else {
            close(listening)
            throw SystemError("serve HTTP on", address)
        }
    }

    deinit { stop() }

    /// libmicrohttpd's own epoll descriptor.
    public var descriptor: CInt? { unsafe daemon.map { unsafe cmhd_epoll($0) } }

    /// Time until libmicrohttpd or the next look at deadlines wants to run.
    public var timeout: Duration? {
        guard let daemon = unsafe daemon else { return nil }
        var milliseconds: UInt64 = 0
        let sweep = nextSweep.map { $0 - .monotonic }
        guard unsafe MHD_get_timeout(daemon, &milliseconds) == .YES else { return sweep }
        // The library would ask for the answers that are awaited again and again; `prepare` says when there are some.
        if waiting > 0 && !hasProgressed { milliseconds = max(milliseconds, 10) }
        return min(.milliseconds(Int64(clamping: milliseconds)), sweep ?? .seconds(1))
    }

    /// Serves what is ready, and cuts off what is late.
    public func run() {
        runLibrary()
        guard let nextSweep, nextSweep <= now else { return }
        for connection in connections.values { connection.cutOff(at: now) }
        self.nextSweep = connections.isEmpty ? nil : now + .seconds(1)
    }

    /// Sends answers that have come since the last turn.
    public func prepare() {
        if hasAnswers { runLibrary() }
    }

    private func runLibrary() {
        hasAnswers = false
        hasProgressed = false
        now = .monotonic
        if let daemon = unsafe daemon { unsafe MHD_run(daemon) }
    }

    /// Accepts no more connections; those that are open go on.
    public func quiesce() {
        guard let daemon = unsafe daemon else { return }
        let listening = unsafe MHD_quiesce_daemon(daemon)
        if listening >= 0 { close(listening) }
    }

    /// Closes everything; all exchanges must have been answered.
    public func stop() {
        guard let daemon = unsafe daemon else { return }
        unsafe self.daemon = nil
        unsafe MHD_stop_daemon(daemon)
        socketFile?.remove()
    }

    // MARK: - Called by exchanges

    /// Whether another exchange may wait without being suspended: each of them is asked at each run.
    var hasRoomToWait: Bool { waiting < 128 }

    func beginWaiting() { waiting += 1 }

    func endWaiting() {
        waiting -= 1
        hasAnswers = true
    }

    func suspend(_ handle: OpaquePointer) {
        unsafe MHD_suspend_connection(handle)
    }

    func resume(_ handle: OpaquePointer) {
        hasAnswers = true
        unsafe MHD_resume_connection(handle)
    }

    // MARK: - Called by libmicrohttpd (Callbacks.swift)

    func admits(_ address: UnsafePointer<sockaddr>) -> Bool {
        guard let limits, let network = unsafe PeerNetwork(address) else { return true }
        return limits.admits(network)
    }

    func opened(_ connection: Connection) {
        connections[ObjectIdentifier(connection)] = connection
        if let network = connection.network { limits?.opened(network) }
        if nextSweep == nil { nextSweep = .monotonic + .seconds(1) }
    }

    func closed(_ connection: Connection) {
        connections[ObjectIdentifier(connection)] = nil
        if let network = connection.network { limits?.closed(network) }
    }

    /// The first call for a request: its head is there.
    func begin(_ handle: OpaquePointer, _ connection: Connection, _ line: RequestLine) -> HTTPExchange {
        hasProgressed = true
        let exchange = unsafe HTTPExchange(self, connection, handle)
        let head = unsafe RequestHead(of: handle)
        exchange.closes = head.isChunked
        let fault = unsafe head.verdict(
            method: Span(_unsafeElements: line.method), target: Span(_unsafeElements: line.target),
            version: Span(_unsafeElements: line.version))
        if let fault {
            exchange.refuse(fault)
        } else if let length = head.contentLength, length > HTTPExchange.maximumBody,
            head.expectsContinue || length > HTTPExchange.maximumDrained
        {
            exchange.refuse(.bodyTooLarge)
        }
        return exchange
    }

    /// The last call before the answer: the body is complete.
    func handle(_ exchange: HTTPExchange, _ handle: OpaquePointer, _ line: RequestLine) {
        hasProgressed = true
        let body = exchange.beginHandling()
        guard exchange.response == nil else { return }
        let request = unsafe HTTPRequest(
            method: String(decoding: line.method, as: UTF8.self), path: String(decoding: line.target, as: UTF8.self),
            query: parameters(of: handle), body: body,
            peer: exchange.connection.peer)
        handler(request, exchange)
    }

    func send(_ response: HTTPResponse, _ exchange: HTTPExchange, _ handle: OpaquePointer) -> MHD_Result {
        requests += 1
        hasProgressed = true
        exchange.connection.isAnswering = true
        exchange.connection.restartDeadline()
        return unsafe queue(response, closes: exchange.closes, handle)
    }
}

extension HTTPServer {
    /// The library that serves, and its version at run time.
    public static var library: (name: String, version: String) {
        ("libmicrohttpd", unsafe String(cString: MHD_get_version()))
    }
}
