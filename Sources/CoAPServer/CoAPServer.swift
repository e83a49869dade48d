internal import CCoap
public import CoAPMessage
public import EventLoop

/// Serves CoAP over UDP on one socket, by libcoap in the loop.
///
/// libcoap reads and sends messages; what requests mean, their blocks, their repeats and all limits are judged here, and
/// whole requests go to the handler. The answer goes in the acknowledgement of its request as soon as there is one.
/// Not Sendable: it lives on the loop's thread.
@safe public final class CoAPServer: EventSource {
    /// Takes a whole request; answers through the exchange, at once or later.
    public typealias Handler = (CoAPRequest, CoAPExchange) -> Void

    /// The most requests that wait for their answers at the same time.
    static let maximumWaiting = 1024
    /// How long an acknowledgement may wait for its answer; clients send again after 2 s.
    static let patience = Duration.seconds(1)
    /// The most datagrams in one turn of the loop: enough for a group commit to be worth its sync, and so few that under
    /// load the disk works on one group while the next one is read.
    static let maximumRounds = 16

    /// Where it listens.
    public let address: String
    /// Whole requests that were answered so far.
    public private(set) var requests: UInt64 = 0
    private let resources: [(resource: CoAPResource, path: ResourcePath)]
    private let handler: Handler
    private var context: OpaquePointer?
    private var recent = RecentRequests<Reply>(capacity: 8192, maximumBytes: 4 << 20)
    private var assembly = BlockAssembly()
    private var longAnswers = LongAnswers()
    private var queue = ExchangeQueue()
    private var waiting = 0
    private var separate = SeparateAnswers()
    private var now = Duration.zero

    /// Starts to serve; the loop must `add` it.
    ///
    /// - Parameters:
    ///   - host: an IPv4 or IPv6 address without brackets.
    ///   - port: 0 takes any free one.
    ///   - resources: what there is; all other paths are answered by 4.04.
    ///   - handler: called on the loop's thread.
    /// - Throws: why the address cannot be had.
    public init(host: String, port: UInt16, resources: [CoAPResource], _ handler: @escaping Handler)
        throws(SystemError)
    {
        let endpoint = unsafe try openEndpoint(host: host, port: port)
        unsafe address = endpoint.address
        unsafe context = endpoint.context
        self.resources = resources.map { ($0, ResourcePath($0.path)) }
        self.handler = handler
        unsafe register(resources, in: endpoint.context, for: self)
    }

    deinit { stop() }

    /// libcoap's own epoll descriptor.
    public var descriptor: CInt? { unsafe context.map { unsafe coap_context_get_coap_fd($0) } }

    /// Time until an empty acknowledgement has to go; libcoap's own deadlines make its descriptor readable.
    public var timeout: Duration? { queue.first.map { $0.deadline - .monotonic } }

    /// Reads until nothing is readable or the bound is reached, so that these requests share one group commit.
    public func run() {
        guard let context = unsafe context else { return }
        now = .monotonic
        var rounds = 0
        while rounds < Self.maximumRounds, unsafe ccoap_run(context) != 0 { rounds += 1 }
        while let exchange = queue.first, exchange.deadline <= now {
            queue.removeFirst()
            exchange.isAcknowledged = true
            if exchange.origin.isConfirmable { unsafe acknowledge(exchange.origin, over: exchange.session) }
        }
    }

    /// Closes the socket; what still waits for an answer gets none.
    public func stop() {
        guard let context = unsafe context else { return }
        unsafe self.context = nil
        queue.removeAll()
        // A session of an exchange that nobody answered must not be freed under it; then the process is ending anyway.
        if waiting == 0 { unsafe coap_free_context(context) }
    }

    // MARK: - Requests

    /// Called by libcoap for each request message.
    func receive(_ request: OpaquePointer, over session: OpaquePointer) {
        guard let message = unsafe Message(request) else { return }
        let found = resources.firstIndex { $0.path.matches(message.path) }
        guard let found else { return unsafe refuse(message, .notFound, over: session) }
        let resource = resources[found].resource
        guard let method = CoAPMethod(rawValue: message.code), resource.methods.contains(method) else {
            return unsafe refuse(message, .methodNotAllowed, over: session)
        }
        guard !message.hasBadBlock else { return unsafe refuse(message, .badRequest, over: session) }
        let peer = unsafe Peer(of: session)
        let key = RecentRequests<Reply>.Key(peer: peer, messageID: message.origin.messageID)
        switch recent.recall(key, fingerprint: message.fingerprint, at: now) {
        case .new(let ticket):
            let key = LongAnswers.Key(peer: peer, tag: message.requestTag, resource: found)
            guard let body = unsafe body(of: message, ticket, key, session) else { return }
            let request = CoAPRequest(
                method: method, path: resource.path, body: body, peer: peer.addressText,
                isConfirmable: message.origin.isConfirmable)
            unsafe handle(request, message, ticket, key, session)
        case .waiting(let since):
            let isLate = now - since >= Self.patience
            if isLate, message.origin.isConfirmable { unsafe acknowledge(message.origin, over: session) }
        case .answered(let reply): unsafe send(reply, to: message.origin, over: session)
        }
    }

    /// The whole body of a request; nil if the message was a step on the way to it, or to the end of an answer.
    private func body(
        of message: Message, _ ticket: RecentRequests<Reply>.Ticket, _ key: LongAnswers.Key, _ session: OpaquePointer
    ) -> [UInt8]? {
        let reply: Reply
        if let block2 = message.block2, block2.number > 0 {
            switch longAnswers.slice(block2, for: key, at: now) {
            case .reply(let slice): reply = slice
            case .unknown: reply = Reply(.incomplete)
            case .beyondEnd: reply = Reply(.badOption)
            }
        } else if let block1 = message.block1 {
            let key = TransferTable<[UInt8]>.Key(peer: key.peer, tag: key.tag, resource: key.resource)
            let outcome = assembly.receive(
                block1, message.payload, announced: message.size1, from: key, at: now)
            switch outcome {
            case .complete(let body): return body
            case .continues: reply = Reply(.continue, block1: block1)
            case .incomplete: reply = Reply(.incomplete, block1: block1)
            case .malformed: reply = Reply(.badRequest, block1: block1)
            case .tooLarge: reply = Reply(tooLarge: block1)
            }
        } else {
            return message.payload
        }
        recent.answered(ticket, reply, bytes: reply.payload.count)
        unsafe send(reply, to: message.origin, over: session)
        return nil
    }

    private func handle(
        _ request: CoAPRequest, _ message: Message, _ ticket: RecentRequests<Reply>.Ticket, _ key: LongAnswers.Key,
        _ session: OpaquePointer
    ) {
        guard let session = unsafe coap_session_reference(session) else { return }
        let exchange = unsafe CoAPExchange(self, session, message, ticket, key, deadline: now + Self.patience)
        waiting += 1
        guard waiting <= Self.maximumWaiting else { return exchange.answer(.busy) }
        queue.append(exchange)
        handler(request, exchange)
    }

    // MARK: - Answers

    /// Called by an exchange, once.
    func finish(_ exchange: CoAPExchange, _ response: CoAPResponse) {
        waiting -= 1
        defer { unsafe coap_session_release(exchange.session) }
        guard unsafe context != nil else { return }
        requests += 1
        let response = response.fitted(
            requestSize: exchange.requestSize, token: exchange.origin.token,
            blockOptions: (exchange.block1 == nil ? 0 : 1) + (exchange.block2 == nil ? 0 : 1))
        var reply = longAnswers.first(response, asked: exchange.block2, for: exchange.key, at: .monotonic)
        reply.block1 = exchange.block1
        recent.answered(exchange.ticket, reply, bytes: reply.payload.count)
        guard exchange.origin.isConfirmable, exchange.isAcknowledged else {
            return unsafe send(reply, to: exchange.origin, over: exchange.session)
        }
        let carrier = separate.next(at: .monotonic)
        unsafe transmit(reply, carrier, to: exchange.origin, over: exchange.session)
    }

    private func send(_ reply: Reply, to origin: Origin, over session: OpaquePointer) {
        unsafe transmit(reply, origin.isConfirmable ? .acknowledgement : .nonConfirmable, to: origin, over: session)
    }

    private func refuse(_ message: Message, _ code: CoAPCode, over session: OpaquePointer) {
        unsafe send(Reply(code), to: message.origin, over: session)
    }
}

extension Reply {
    fileprivate init(tooLarge block1: BlockOption) {
        self.init(.tooLarge, block1: block1)
        size1 = UInt32(BlockAssembly.maximumBody)
    }
}

extension CoAPServer {
    /// The library that serves, and its version at run time.
    public static var library: (name: String, version: String) {
        // "libcoap 4.3.1"
        let text = unsafe coap_package_version().map { unsafe String(cString: $0) } ?? ""
        return ("libcoap", text.split(separator: " ").last.map(String.init) ?? text)
    }
}
