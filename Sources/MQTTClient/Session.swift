internal import CMosquitto
internal import EventLoop
internal import Glibc

/// One connection from CONNECT to its end: owner of one libmosquitto client, which nobody but the network's thread touches.
///
/// It waits by poll(2): `mosquitto_loop` waits by select(2), which knows no descriptor above 1,023, and a hub with many
/// connections of devices has such. A new session is a new client of the library, so nothing is sent again by itself.
@safe final class Session {
    /// How many packets are read before publications have their turn.
    private static let packetsPerTurn = 64
    /// Seconds of silence before a PING; a dead broker is noticed after twice that at most.
    private static let keepAlive: CInt = 15
    /// How long a stop waits for a broker that does not read.
    private static let farewell = Duration.seconds(2)

    let options: MQTTOptions
    let link: Link
    private let number: UInt64
    private var handle: OpaquePointer?
    /// Whether the broker has sent CONNACK 0.
    private(set) var wasAccepted = false
    /// Whether the broker has let the client do what it came for.
    var wasUseful: Bool { wasAccepted && loss?.kind != .denied }
    private var loss: MQTTLoss?
    /// The packet identifier of SUBSCRIBE, until its SUBACK has come.
    private var subscription: CInt?
    /// The publications of QoS 0 that the library could not write yet, by its number for them.
    private var unwritten: [CInt: UInt64] = [:]
    /// The publications of a higher QoS, by their packet identifiers.
    private var unacknowledged: [CInt: UInt64] = [:]
    /// What the library has written last that is in neither of them: it may do so before it tells the number.
    private var writtenAtOnce: CInt = 0

    init(_ options: MQTTOptions, _ link: Link, number: UInt64) {
        self.options = options
        self.link = link
        self.number = number
    }

    /// Connects, and serves the connection until it ends or the client is told to stop; the socket is closed then.
    func run() -> MQTTLoss {
        defer { end() }
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe handle = mosquitto_new(options.clientId, true, context)
        guard let handle = unsafe handle else { return ended(MOSQ_ERR_NOMEM.code) }
        let code = unsafe connect(handle)
        guard code == MOSQ_ERR_SUCCESS.code else { return ended(code) }
        while !link.isStopping {
            let code = unsafe turn(handle)
            // The library closes the socket by itself when the broker says DISCONNECT.
            guard code == MOSQ_ERR_SUCCESS.code, loss == nil, unsafe mosquitto_socket(handle) >= 0 else {
                return ended(code)
            }
        }
        unsafe sayGoodbye(handle)
        return MQTTLoss(kind: .lost, reason: "stopped")
    }

    // MARK: - Turns

    private func connect(_ handle: OpaquePointer) -> CInt {
        let version = options.version == .v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311
        var code = unsafe mosquitto_int_option(handle, MOSQ_OPT_PROTOCOL_VERSION, version)
        guard code == MOSQ_ERR_SUCCESS.code else { return code }
        // With Nagle's algorithm an answer waits for the broker's delayed ACK: 44 ms.
        code = unsafe mosquitto_int_option(handle, MOSQ_OPT_TCP_NODELAY, 1)
        guard code == MOSQ_ERR_SUCCESS.code else { return code }
        if let login = options.login {
            code = unsafe mosquitto_username_pw_set(handle, login.username, login.password)
            guard code == MOSQ_ERR_SUCCESS.code else { return code }
        }
        unsafe setCallbacks(handle)
        var properties = Properties()
        if options.version == .v5 {
            // The library takes in any length the broker names, so the broker is told to send no more than this.
            properties.add(.maximumPacketSize, UInt32(clamping: options.maximumPayload + 1024))
        }
        guard properties.code == MOSQ_ERR_SUCCESS.code else { return properties.code }
        return unsafe mosquitto_connect_bind_v5(
            handle, options.host, CInt(options.port), Self.keepAlive, nil, properties.list)
    }

    /// Waits for the socket or the bell, a second at most, and does what is to do.
    private func turn(_ handle: OpaquePointer, reads: Bool = true) -> CInt {
        unsafe sendOutgoing(handle)
        var wanted: CInt = reads && link.hasRoom() ? POLLIN : 0
        if unsafe mosquitto_want_write(handle) { wanted |= CInt(POLLOUT) }
        var files = unsafe [
            pollfd(fd: mosquitto_socket(handle), events: Int16(wanted), revents: 0),
            pollfd(fd: link.work.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        guard unsafe poll(&files, 2, 1000) >= 0 || errno == EINTR else { return MOSQ_ERR_ERRNO.code }
        if files[1].revents != 0 { link.work.wait() }
        let ready = CInt(files[0].revents)
        var code = MOSQ_ERR_SUCCESS.code
        if ready & ~CInt(POLLOUT) != 0 { code = unsafe read(handle) }
        if code == MOSQ_ERR_SUCCESS.code, ready & CInt(POLLOUT) != 0 { code = unsafe mosquitto_loop_write(handle, 1) }
        // Keep-alive.
        return unsafe code == MOSQ_ERR_SUCCESS.code ? mosquitto_loop_misc(handle) : code
    }

    /// Reads packets until the socket is empty, the inbox is full, or others must have their turn.
    private func read(_ handle: OpaquePointer) -> CInt {
        for _ in 0..<Self.packetsPerTurn {
            errno = 0
            let code = unsafe mosquitto_loop_read(handle, 1)
            guard code == MOSQ_ERR_SUCCESS.code, errno != EAGAIN, unsafe mosquitto_socket(handle) >= 0, link.hasRoom()
            else { return code }
        }
        return MOSQ_ERR_SUCCESS.code
    }

    /// Hands publications to the library, unless it still has some that the socket did not take.
    private func sendOutgoing(_ handle: OpaquePointer) {
        guard wasAccepted, !(unsafe mosquitto_want_write(handle)) else { return }
        for outgoing in link.takeOutgoing() {
            let publication = outgoing.publication
            var mid: CInt = 0
            writtenAtOnce = 0
            let code = unsafe publish(publication, &mid, handle)
            if code != MOSQ_ERR_SUCCESS.code {
                link.post(.failed(id: outgoing.id, reason: reason(code)))
            } else if publication.qos > 0 {
                unacknowledged[mid] = outgoing.id
            } else if writtenAtOnce != mid {
                unwritten[mid] = outgoing.id
            }
        }
    }

    /// Sends what has been published, as far as the broker takes it, and DISCONNECT.
    private func sayGoodbye(_ handle: OpaquePointer) {
        let end = Duration.monotonic + Self.farewell
        unsafe sendOutgoing(handle)
        while unsafe mosquitto_want_write(handle), .monotonic < end,
            unsafe turn(handle, reads: false) == MOSQ_ERR_SUCCESS.code
        {}
        _ = unsafe mosquitto_disconnect(handle)
    }

    /// Closes the socket, and gives up what was published and not acknowledged.
    private func end() {
        if let handle = unsafe handle { unsafe mosquitto_destroy(handle) }
        unsafe handle = nil
        for id in unwritten.values { link.post(.failed(id: id, reason: "the connection ended before it was sent")) }
        for id in unacknowledged.values { link.post(.failed(id: id, reason: "the connection ended before PUBACK")) }
        (unwritten, unacknowledged) = ([:], [:])
    }

    private func publish(_ publication: MQTTPublication, _ mid: inout CInt, _ handle: OpaquePointer) -> CInt {
        var properties = Properties()
        if options.version == .v5 {
            if let expiry = publication.expiry { properties.add(.messageExpiryInterval, expiry) }
            if let data = publication.correlationData { properties.add(.correlationData, data) }
        }
        guard properties.code == MOSQ_ERR_SUCCESS.code else { return properties.code }
        return unsafe mosquitto_publish_v5(
            handle, &mid, publication.topic, CInt(clamping: publication.payload.count), publication.payload,
            CInt(publication.qos), publication.isRetained, properties.list)
    }

    // MARK: - Called by libmosquitto (Callbacks.swift)

    func connected(_ code: CInt) {
        guard code == 0, let handle = unsafe handle else {
            let words = unsafe options.version == .v5 ? mosquitto_reason_string(code) : mosquitto_connack_string(code)
            loss = MQTTLoss(kind: .refused, reason: unsafe text(words))
            return
        }
        guard !wasAccepted else {
            loss = MQTTLoss(kind: .lost, reason: "the broker sent CONNACK twice")
            return
        }
        wasAccepted = true
        link.setConnected(true)
        link.post(.connected(session: number))
        guard !options.subscriptions.isEmpty else { return link.post(.subscribed(refused: [])) }
        let subscribed = unsafe subscribe(handle)
        if subscribed != MOSQ_ERR_SUCCESS.code {
            link.post(.subscribed(refused: options.subscriptions.map { ($0, reason(subscribed)) }))
        }
    }

    private func subscribe(_ handle: OpaquePointer) -> CInt {
        var filters = unsafe options.subscriptions.map { unsafe strdup($0) }
        defer { unsafe filters.forEach { unsafe free($0) } }
        var mid: CInt = 0
        let code = unsafe mosquitto_subscribe_multiple(handle, &mid, CInt(filters.count), &filters, 1, 0, nil)
        if code == MOSQ_ERR_SUCCESS.code { subscription = mid }
        return code
    }

    /// SUBACK counts once, and only for what was asked: whatever else a broker sends would pile up in the inbox.
    func subscribed(_ mid: CInt, _ granted: [CInt]) {
        guard mid == subscription else { return }
        subscription = nil
        var refused: [(filter: String, reason: String)] = []
        for (index, filter) in options.subscriptions.enumerated() {
            guard index < granted.count else {
                refused.append((filter, "the broker did not answer for it"))
                continue
            }
            // 0x80 is all that 3.1.1 can say.
            if granted[index] >= 0x80 { refused.append((filter, unsafe text(mosquitto_reason_string(granted[index])))) }
        }
        link.post(.subscribed(refused: refused))
        guard let first = refused.first, refused.count == options.subscriptions.count else { return }
        // Without a subscription the connection is of no use; whoever mends the broker's rules need not restart anything.
        loss = MQTTLoss(kind: .denied, reason: "the broker refuses the subscriptions: \(first.reason)")
    }

    /// QoS 0: it is written; otherwise PUBACK or PUBCOMP has come.
    func published(_ mid: CInt, _ code: CInt) {
        guard unwritten.removeValue(forKey: mid) == nil else { return }
        guard let id = unacknowledged.removeValue(forKey: mid) else {
            writtenAtOnce = mid
            return
        }
        link.post(
            code < 0x80 ? .published(id: id) : .failed(id: id, reason: unsafe text(mosquitto_reason_string(code))))
    }

    /// DISCONNECT of MQTT 5 says why, in codes from 0x80 on; lower ones are the library's, which `ended` knows better.
    func disconnected(_ code: CInt) {
        guard loss == nil, code >= 0x80 else { return }
        loss = MQTTLoss(kind: .lost, reason: unsafe "the broker says: \(text(mosquitto_reason_string(code)))")
    }

    // MARK: - Reasons

    private func ended(_ code: CInt) -> MQTTLoss {
        let words = reason(code)
        if let loss { return loss }
        return MQTTLoss(kind: wasAccepted ? .lost : .unreachable, reason: words)
    }

    /// Must come right after the call that failed: for some codes the words are those of errno.
    private func reason(_ code: CInt) -> String {
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
private func text(_ words: UnsafePointer<CChar>?) -> String {
    guard let words = unsafe words else { return "unknown reason" }
    let text = unsafe String(cString: words)
    return text.hasSuffix(".") ? String(text.dropLast()) : text
}
