public import CoAPMessage

/// One request on its way to its answer.
///
/// The handler gets it with the whole request and calls `answer` once, at once or later, on the loop's thread. It holds
/// libcoap's session, so that the answer finds its way back.
@safe public final class CoAPExchange {
    let origin: Origin
    let ticket: RecentRequests<Reply>.Ticket
    let key: LongAnswers.Key
    let block1: BlockOption?
    let block2: BlockOption?
    let requestSize: Int
    /// When an empty acknowledgement must go first (RFC 7252 section 5.2.2).
    let deadline: Duration
    let session: OpaquePointer
    /// Whether the empty acknowledgement has gone, and the answer has to be a message of its own.
    var isAcknowledged = false
    private(set) var isAnswered = false
    private let server: CoAPServer

    init(
        _ server: CoAPServer, _ session: OpaquePointer, _ message: Message, _ ticket: RecentRequests<Reply>.Ticket,
        _ key: LongAnswers.Key, deadline: Duration
    ) {
        self.server = server
        unsafe self.session = session
        self.ticket = ticket
        self.key = key
        self.deadline = deadline
        origin = message.origin
        block1 = message.block1
        block2 = message.block2
        requestSize = message.size
    }

    /// Sends the answer; only the first one counts.
    public func answer(_ response: CoAPResponse) {
        guard !isAnswered else { return }
        isAnswered = true
        server.finish(self, response)
    }
}

extension CoAPResponse {
    /// What may be answered to a message of the given size: an error is no means to flood others with (RFC 7252
    /// section 11.3), so that to less than 100 bytes it has at most 32 bytes more, or else its brief body.
    ///
    /// - Parameters:
    ///   - requestSize: bytes of the message that is answered.
    ///   - token: its token.
    ///   - blockOptions: how many block options the answer will have.
    func fitted(requestSize: Int, token: Token, blockOptions: Int = 0) -> CoAPResponse {
        // Content-Format and Max-Age below 256, and block options at their longest.
        let options = (contentFormat == nil ? 0 : 2) + (maxAge == nil ? 0 : 2) + 4 * blockOptions
        // Header and token, options, and the mark before the body.
        let size = 4 + token.count + options + 1 + body.count
        guard code.category >= 4, requestSize < 100, size > requestSize + 32 else { return self }
        return CoAPResponse(code, contentFormat: contentFormat, body: brief, maxAge: maxAge)
    }
}
