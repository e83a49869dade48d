internal import CCoap
internal import CoAPMessage
internal import Glibc

/// One request to one address; owns libcoap's context and with it the session.
@safe final class ClientExchange {
    private let context: OpaquePointer
    private let session: OpaquePointer
    private var result: Result<CoAPResponse, CoAPClientError>?

    init(_ address: addrinfo) throws(CoAPClientError) {
        coap_startup()
        ccoap_silence()
        var remote = coap_address_t()
        guard unsafe ccoap_address(&remote, address.ai_addr, address.ai_addrlen) == 1,
            let context = unsafe coap_new_context(nil)
        else { throw .unusable }
        unsafe coap_context_set_block_mode(context, UInt8(COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY))
        unsafe coap_register_response_handler(context, responded)
        unsafe coap_register_nack_handler(context, undelivered)
        guard let session = unsafe coap_new_client_session(context, nil, &remote, COAP_PROTO_UDP) else {
            unsafe coap_free_context(context)
            throw .refused
        }
        unsafe self.context = context
        unsafe self.session = session
        unsafe coap_session_set_app_data(session, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        unsafe coap_session_set_app_data(session, nil)
        unsafe coap_session_release(session)
        unsafe coap_free_context(context)
    }

    /// Sends the request, again and again by libcoap's rules (RFC 7252 section 4.2), until there is an answer.
    func post(_ body: [UInt8], to path: [String], until deadline: ContinuousClock.Instant) throws(CoAPClientError)
        -> CoAPResponse
    {
        // libcoap reads a long body where it lies, until the last block was sent.
        let outcome = unsafe body.withUnsafeBufferPointer { bytes -> Result<CoAPResponse, CoAPClientError> in
            guard let pdu = unsafe request(bytes, path) else { return .failure(.unusable) }
            guard unsafe coap_send(session, pdu) != COAP_INVALID_MID else { return .failure(.refused) }
            while result == nil {
                let left = ContinuousClock.now.duration(to: deadline)
                guard left > .zero else { return .failure(.late) }
                let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
                guard unsafe coap_io_process(context, UInt32(clamping: milliseconds + 1)) >= 0 else {
                    return .failure(.unusable)
                }
            }
            return result ?? .failure(.late)
        }
        return try outcome.get()
    }

    private func request(_ body: UnsafeBufferPointer<UInt8>, _ path: [String]) -> OpaquePointer? {
        let pdu = unsafe coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, session)
        guard let pdu = unsafe pdu else { return nil }
        var token: (UInt64, Int) = (0, 0)
        unsafe withUnsafeMutableBytes(of: &token.0) { bytes in
            unsafe coap_session_new_token(session, &token.1, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
        var isComplete = unsafe withUnsafeBytes(of: token.0) { bytes in
            unsafe coap_add_token(pdu, token.1, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)) == 1
        }
        for segment in path {
            let bytes = Array(segment.utf8)
            isComplete = unsafe coap_add_option(pdu, UInt16(COAP_OPTION_URI_PATH), bytes.count, bytes) > 0 && isComplete
        }
        let format: [UInt8] = [50]
        isComplete = unsafe coap_add_option(pdu, UInt16(COAP_OPTION_CONTENT_FORMAT), 1, format) > 0 && isComplete
        isComplete =
            unsafe coap_add_data_large_request(session, pdu, body.count, body.baseAddress, nil, nil) == 1 && isComplete
        guard isComplete else {
            unsafe coap_delete_pdu(pdu)
            return nil
        }
        return unsafe pdu
    }

    // MARK: - Called by libcoap

    fileprivate func received(_ pdu: OpaquePointer) {
        var count = 0
        var offset = 0
        var total = 0
        var start: UnsafePointer<UInt8>?
        let hasBody = unsafe coap_get_data_large(pdu, &count, &start, &offset, &total) == 1
        let body = unsafe hasBody ? Array(UnsafeBufferPointer(start: start, count: count)) : []
        let code = unsafe CoAPCode(rawValue: UInt8(truncatingIfNeeded: coap_pdu_get_code(pdu).rawValue))
        result = result ?? .success(CoAPResponse(code, body: body))
    }

    fileprivate func failed(_ error: CoAPClientError) {
        result = result ?? .failure(error)
    }

    fileprivate static func of(_ session: OpaquePointer?) -> ClientExchange? {
        guard let session = unsafe session, let data = unsafe coap_session_get_app_data(session) else { return nil }
        return unsafe Unmanaged<ClientExchange>.fromOpaque(data).takeUnretainedValue()
    }
}

/// `coap_response_handler_t`: the whole answer is there.
private func responded(
    _ session: OpaquePointer?, _ sent: OpaquePointer?, _ received: OpaquePointer?, _ messageID: coap_mid_t
) -> coap_response_t {
    if let pdu = unsafe received { unsafe ClientExchange.of(session)?.received(pdu) }
    return COAP_RESPONSE_OK
}

/// `coap_nack_handler_t`: a message will not be answered.
private func undelivered(
    _ session: OpaquePointer?, _ sent: OpaquePointer?, _ reason: coap_nack_reason_t, _ messageID: coap_mid_t
) {
    let error: CoAPClientError =
        switch reason {
        case COAP_NACK_TOO_MANY_RETRIES: .late
        case COAP_NACK_RST: .rejected
        default: .refused
        }
    unsafe ClientExchange.of(session)?.failed(error)
}
