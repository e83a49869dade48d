internal import CCoap

/// What an answer needs to know of the message that it answers.
struct Origin {
    let isConfirmable: Bool
    let messageID: UInt16
    let token: Token
}

/// A token: up to eight bytes that tie an answer to its request (RFC 7252 section 5.3.1).
struct Token: Hashable {
    private(set) var bytes: UInt64 = 0
    let count: Int

    /// Copies a token; nil for one of over eight bytes.
    init?(_ source: UnsafeBufferPointer<UInt8>) {
        guard source.count <= 8 else { return nil }
        count = source.count
        unsafe withUnsafeMutableBytes(of: &bytes) { unsafe $0.copyBytes(from: source) }
    }
}

/// A request message, read once and copied out of libcoap's hands.
struct Message {
    let origin: Origin
    let code: UInt8
    /// The Uri-Path options as `ResourcePath` wants them.
    private(set) var path: [UInt8] = []
    private(set) var block1: BlockOption?
    private(set) var block2: BlockOption?
    private(set) var size1: UInt32?
    private(set) var requestTag: [UInt8] = []
    /// Whether a block option is there twice, or has the reserved size.
    private(set) var hasBadBlock = false
    let payload: [UInt8]
    /// Bytes of the whole message.
    private(set) var size: Int

    /// Reads a request; nil when it is none that could be answered.
    init?(_ pdu: OpaquePointer) {
        let token = unsafe coap_pdu_get_token(pdu)
        guard let token = unsafe Token(UnsafeBufferPointer(start: token.s, count: token.length)) else { return nil }
        origin = unsafe Origin(
            isConfirmable: coap_pdu_get_type(pdu) == COAP_MESSAGE_CON,
            messageID: UInt16(truncatingIfNeeded: coap_pdu_get_mid(pdu)), token: token)
        code = unsafe UInt8(truncatingIfNeeded: coap_pdu_get_code(pdu).rawValue)
        var count = 0
        var start: UnsafePointer<UInt8>?
        let hasPayload = unsafe coap_get_data(pdu, &count, &start) == 1
        payload = unsafe hasPayload ? Array(UnsafeBufferPointer(start: start, count: count)) : []
        size = 4 + token.count + (hasPayload ? 1 + payload.count : 0)
        var options = unsafe coap_opt_iterator_t()
        guard unsafe coap_option_iterator_init(pdu, &options, nil) != nil else { return }
        var hasPath = false
        while let option = unsafe coap_option_next(&options) {
            unsafe size += coap_opt_size(option)
            let value = unsafe UnsafeBufferPointer(start: coap_opt_value(option), count: Int(coap_opt_length(option)))
            switch unsafe Int32(options.number) {
            case COAP_OPTION_URI_PATH:
                unsafe ResourcePath.add(value, isFirst: !hasPath, to: &path)
                hasPath = true
            case COAP_OPTION_BLOCK1: unsafe read(value, into: \.block1)
            case COAP_OPTION_BLOCK2: unsafe read(value, into: \.block2)
            case COAP_OPTION_SIZE1 where value.count <= 4:
                size1 = unsafe value.reduce(0) { $0 << 8 | UInt32($1) }
            case COAP_OPTION_RTAG where value.count <= 8: requestTag = unsafe Array(value)
            default: break
            }
        }
    }

    /// Of all that a message sent again has in common with the first one, and another one under its number has not.
    var fingerprint: Int {
        var hasher = Hasher()
        hasher.combine(code)
        hasher.combine(origin.token)
        hasher.combine(block1)
        hasher.combine(block2)
        unsafe payload.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        return hasher.finalize()
    }

    private mutating func read(
        _ value: UnsafeBufferPointer<UInt8>, into member: WritableKeyPath<Message, BlockOption?>
    ) {
        let block = unsafe BlockOption(value)
        if block == nil || self[keyPath: member] != nil { hasBadBlock = true }
        self[keyPath: member] = block
    }
}

extension Peer {
    /// The remote end of a session.
    init(of session: OpaquePointer) {
        var address: (UInt64, UInt64) = (0, 0)
        var scope: UInt32 = 0
        let port = unsafe ccoap_peer(session, &address, &scope)
        self.init(address: address, scope: scope, port: port)
    }
}
