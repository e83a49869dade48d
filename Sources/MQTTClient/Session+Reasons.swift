internal import CMosquitto

/// Words and causes for the library's numbers.
extension Session {
    /// Must come right after the call that failed: for some codes the words are those of errno.
    func ended(_ code: CInt) -> MQTTLoss {
        let words = reason(code)
        let loss =
            loss
            ?? tlsReason.map { MQTTLoss(.tls, wasAccepted: wasAccepted, reason: "TLS: \($0)") }
            ?? MQTTLoss(cause(code), wasAccepted: wasAccepted, reason: words)
        guard let advice = advice(loss) else { return loss }
        return MQTTLoss(loss.cause, wasAccepted: wasAccepted, reason: "\(loss.reason); \(advice)")
    }

    /// Which keys of the configuration to look at; nil when none says anything about it.
    private func advice(_ loss: MQTTLoss) -> String? {
        switch loss.cause {
        // MQTT 3.1.1, 3.2.2.3, and MQTT 5, 3.2.2.2.
        case .refused(code: 4), .refused(code: 5), .refused(code: 0x86), .refused(code: 0x87):
            options.login == nil ? "it wants username and password-file" : "check username and password-file"
        case .tls where wasRefused: "check ca-file, the name in url, and the clock"
        case .tls where loss.reason.hasSuffix("unexpected eof while reading"),
            .tls where loss.reason.hasSuffix("wrong version number"):
            "check url: its port may be one without TLS"
        case .closed where options.tls == nil && !wasAccepted: "check url: a port for TLS wants mqtts://"
        default: nil
        }
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
