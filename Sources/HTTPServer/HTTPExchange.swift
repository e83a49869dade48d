internal import EventLoop
public import HTTPMessage

/// One request on its way to its answer.
///
/// The handler gets it with the whole request and calls `answer` once, at once or later, on the loop's thread.
@safe public final class HTTPExchange {
    /// The largest body.
    static let maximumBody = 65_536
    /// How much of a body that is too large is read before the answer, so that the client gets to read it.
    static let maximumDrained = 1 << 20

    let connection: Connection
    private(set) var response: HTTPResponse?
    /// Whether the connection ends behind the answer.
    var closes = false
    private var body: [UInt8] = []
    private var received = 0
    /// Bytes of the body that count in the limits.
    private var taken = 0
    private var wait = Wait.none
    private(set) var wasHandled = false
    private unowned let server: HTTPServer
    private let limits: ConnectionLimits?
    private let handle: OpaquePointer

    /// How the connection waits for its answer.
    private enum Wait {
        case none
        /// The library asks for it at each run, until this monotonic time.
        case asked(until: Duration)
        /// Until it is resumed.
        case suspended
    }

    init(_ server: HTTPServer, _ connection: Connection, _ handle: OpaquePointer) {
        self.server = server
        limits = server.limits
        self.connection = connection
        unsafe self.handle = handle
    }

    /// Sends the answer; only the first one counts.
    public func answer(_ response: HTTPResponse) {
        guard self.response == nil else { return }
        self.response = response
        switch wait {
        case .none: return
        case .asked: server.endWaiting()
        case .suspended: unsafe server.resume(handle)
        }
        wait = .none
    }

    deinit { limits?.returnBody(taken) }

    /// Keeps a piece of the body; false when the client sends on and on.
    func receive(_ piece: UnsafeBufferPointer<UInt8>) -> Bool {
        received += piece.count
        guard response == nil else { return received <= Self.maximumDrained }
        if received > Self.maximumBody {
            drop(.bodyTooLarge)
        } else if limits?.takeBody(piece.count) ?? true {
            taken += piece.count
            unsafe body.append(contentsOf: piece)
        } else {
            drop(.tooManyBodies)
        }
        return true
    }

    private func drop(_ fault: RequestFault) {
        limits?.returnBody(taken)
        taken = 0
        body = []
        refuse(fault)
    }

    /// Answers with an error and closes the connection behind it.
    func refuse(_ fault: RequestFault) {
        closes = true
        response = .error(fault.status, fault.status > 500 ? .general : .badRequest, fault.message)
    }

    /// Marks the request as handed over.
    ///
    /// - Returns: its body, which it keeps no longer.
    func beginHandling() -> [UInt8] {
        wasHandled = true
        connection.deadline = nil
        defer { body = [] }
        return body
    }

    /// Lets the connection rest until `answer`; called again and again until then.
    ///
    /// For the time of a commit the library just asks again, which costs less than to take the connection out of its
    /// epoll set and to put it back. An answer that takes longer finds it suspended: nothing times out then.
    func rest(on server: HTTPServer) {
        switch wait {
        case .asked(let limit):
            if server.now < limit { return }
            server.endWaiting()
        case .none where server.hasRoomToWait:
            wait = .asked(until: server.now + .seconds(1))
            server.beginWaiting()
            return
        case .none, .suspended: break
        }
        wait = .suspended
        unsafe server.suspend(handle)
    }

    /// The request has ended, answered or not.
    func end() {
        if case .asked = wait { server.endWaiting() }
        wait = .none
    }
}

extension RequestFault {
    static let tooManyBodies = RequestFault(
        status: 503, message: "over \(ConnectionLimits.maximumBodyBytes) bytes of request bodies at once")
    static let bodyTooLarge = RequestFault(status: 413, message: "body over \(HTTPExchange.maximumBody) bytes")
}
