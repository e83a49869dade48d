internal import CCoap
internal import CoAPMessage

/// How a reply travels.
enum Carrier {
    /// In the acknowledgement of the request (piggybacked, RFC 7252 section 5.2.1).
    case acknowledgement
    /// As a message of its own, sent again until it is acknowledged (5.2.2).
    case confirmable
    /// As a message of its own, once (5.2.3).
    case nonConfirmable
}

/// Sends a reply to the message it belongs to.
func transmit(_ reply: Reply, _ carrier: Carrier, to origin: Origin, over session: OpaquePointer) {
    let type =
        switch carrier {
        case .acknowledgement: COAP_MESSAGE_ACK
        case .confirmable: COAP_MESSAGE_CON
        case .nonConfirmable: COAP_MESSAGE_NON
        }
    let code = coap_pdu_code_t(UInt32(reply.code.rawValue))
    let messageID = unsafe carrier == .acknowledgement ? origin.messageID : coap_new_message_id(session)
    let pdu = unsafe coap_pdu_init(type, code, coap_mid_t(messageID), coap_session_max_pdu_size(session))
    guard let pdu = unsafe pdu else { return }
    let hasToken = unsafe withUnsafeBytes(of: origin.token.bytes) { bytes in
        unsafe coap_add_token(pdu, origin.token.count, bytes.assumingMemoryBound(to: UInt8.self).baseAddress) == 1
    }
    guard hasToken, unsafe add(reply, to: pdu) else { return unsafe coap_delete_pdu(pdu) }
    _ = unsafe coap_send(session, pdu)
}

/// Acknowledges a confirmable message without an answer, which comes later.
func acknowledge(_ origin: Origin, over session: OpaquePointer) {
    let pdu = unsafe coap_pdu_init(COAP_MESSAGE_ACK, COAP_EMPTY_CODE, coap_mid_t(origin.messageID), 0)
    if let pdu = unsafe pdu { _ = unsafe coap_send(session, pdu) }
}

/// Adds options, in the order of their numbers, and the payload; false if they do not fit.
private func add(_ reply: Reply, to pdu: OpaquePointer) -> Bool {
    let options: [(Int32, UInt32?)] = [
        (COAP_OPTION_ETAG, reply.entityTag), (COAP_OPTION_CONTENT_FORMAT, reply.contentFormat.map(UInt32.init)),
        (COAP_OPTION_MAXAGE, reply.maxAge), (COAP_OPTION_BLOCK2, reply.block2?.bits),
        (COAP_OPTION_BLOCK1, reply.block1?.bits), (COAP_OPTION_SIZE2, reply.size2), (COAP_OPTION_SIZE1, reply.size1),
    ]
    for case (let number, let value?) in options {
        guard unsafe add(UInt16(number), value, to: pdu) else { return false }
    }
    guard !reply.payload.isEmpty else { return true }
    return unsafe coap_add_data(pdu, reply.payload.count, reply.payload) == 1
}

/// Adds an option whose value is a number: its bytes without leading zeros (RFC 7252 section 3.2).
private func add(_ number: coap_option_num_t, _ value: UInt32, to pdu: OpaquePointer) -> Bool {
    unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4) { bytes in
        let count = unsafe coap_encode_var_safe(bytes.baseAddress, bytes.count, value)
        return unsafe coap_add_option(pdu, number, Int(count), bytes.baseAddress) > 0
    }
}
