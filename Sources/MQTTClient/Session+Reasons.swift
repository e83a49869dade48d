internal import CMosquitto

/// Words and causes for the library's numbers.
extension Session {
    /// Must come right after the call that failed: for some codes the words are those of errno.
    func ended(_ code: CInt) -> MQTTLoss {
        let words = reason(code)
        if let loss { return loss }
        if let tlsReason { return MQTTLoss(.tls, wasAccepted: wasAccepted, reason: "TLS: \(tlsReason)") }
        return MQTTLoss(cause(code), wasAccepted: wasAccepted, reason: words)
    }

    private func cause(_ code: CInt) -> MQTTLoss.Cause {
        switch code {
        case MOSQ_ERR_EAI.code: .name
        case MOSQ_ERR_TLS.code: .tls
        case MOSQ_ERR_KEEPALIVE.code: .silence
        case MOSQ_ERR_ERRNO.code: isCalling ? .address : .closed
        case MOSQ_ERR_SUCCESS.code, MOSQ_ERR_CONN_LOST.code, MOSQ_ERR_NO_CONN.code: .closed
        default: .other
        }
    }

    /// What the broker would answer to a publication that the library therefore does not send (MQTT 5, 2.4); nil when
    /// that is not why it failed.
    func refusal(_ code: CInt) -> UInt8? {
        switch code {
        case MOSQ_ERR_OVERSIZE_PACKET.code, MOSQ_ERR_PAYLOAD_SIZE.code: 0x95
        case MOSQ_ERR_QOS_NOT_SUPPORTED.code: 0x9B
        case MOSQ_ERR_RETAIN_NOT_SUPPORTED.code: 0x9A
        case MOSQ_ERR_INVAL.code, MOSQ_ERR_MALFORMED_UTF8.code: 0x90
        default: nil
        }
    }

    func reason(_ code: CInt) -> String {
        switch code {
        case MOSQ_ERR_SUCCESS.code, MOSQ_ERR_CONN_LOST.code, MOSQ_ERR_NO_CONN.code:
            wasAccepted ? "the broker closed the connection" : "the broker closed the connection before CONNACK"
        case MOSQ_ERR_KEEPALIVE.code: "the broker does not answer any more"
        case MOSQ_ERR_EAI.code: "no such host, or no answer of the name server"
        case MOSQ_ERR_PROTOCOL.code: "what answers does not speak this version of MQTT"
        default: unsafe text(mosquitto_strerror(code))
        }
    }
}

extension mosq_err_t {
    /// The value as the library's functions return it.
    var code: CInt { rawValue }
}

/// A string of the library's, without the full stop at its end.
func text(_ words: UnsafePointer<CChar>?) -> String {
    guard let words = unsafe words else { return "unknown reason" }
    let text = unsafe String(cString: words)
    return text.hasSuffix(".") ? String(text.dropLast()) : text
}
