internal import CMosquitto
internal import Glibc

/// What comes before a connection: the library is told all that it must know, and then to connect.
extension Session {
    /// Makes the library use TLS, and nothing but the context's rules; from then on it cannot connect in clear.
    func protect(
        _ handle: OpaquePointer, _ context: TLSContext, _ session: UnsafeMutableRawPointer
    ) throws(MQTTTLSError) {
        guard unsafe context.setSession(session),
            unsafe mosquitto_int_option(handle, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0) == MOSQ_ERR_SUCCESS.code,
            unsafe mosquitto_void_option(handle, MOSQ_OPT_SSL_CTX, UnsafeMutableRawPointer(context.handle))
                == MOSQ_ERR_SUCCESS.code
        else { throw MQTTTLSError(path: "libmosquitto", reason: "does not take the rules for TLS") }
    }

    /// Tells the library all that it must know before it connects.
    func prepare(_ handle: OpaquePointer) -> CInt {
        unsafe setCallbacks(handle)
        let version = options.version == .v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311
        // With Nagle's algorithm an answer waits for the broker's delayed ACK: 44 ms.
        for (option, value) in [
            (MOSQ_OPT_PROTOCOL_VERSION, version), (MOSQ_OPT_TCP_NODELAY, 1),
            (MOSQ_OPT_SEND_MAXIMUM, CInt(options.inFlight)),
        ] {
            let code = unsafe mosquitto_int_option(handle, option, value)
            guard code == MOSQ_ERR_SUCCESS.code else { return code }
        }
        if let login = options.login {
            let code =
                unsafe login.password?.withCString { unsafe mosquitto_username_pw_set(handle, login.username, $0) }
                ?? mosquitto_username_pw_set(handle, login.username, nil)
            guard code == MOSQ_ERR_SUCCESS.code else { return code }
        }
        guard let will = options.will else { return MOSQ_ERR_SUCCESS.code }
        return unsafe mosquitto_will_set(
            handle, will.topic, CInt(clamping: will.payload.count), will.payload, CInt(will.qos), will.isRetained)
    }

    /// Looks the name up and calls the broker; a resolver or a network that swallows everything holds it up for minutes.
    func connect(_ handle: OpaquePointer) -> CInt {
        var properties = Properties()
        if options.version == .v5 {
            // The library takes in any length the broker names, so the broker is told to send no more than this.
            properties.add(.maximumPacketSize, UInt32(clamping: options.maximumPayload + 1024))
        }
        guard properties.code == MOSQ_ERR_SUCCESS.code else { return properties.code }
        link.setCalling(true)
        let code = unsafe mosquitto_connect_bind_v5(
            handle, options.host, CInt(options.port), CInt(options.keepAlive), nil, properties.list)
        let number = errno
        link.setCalling(false)
        // The words for some codes are those of errno.
        errno = number
        isCalling = code == MOSQ_ERR_ERRNO.code
        return code
    }
}
