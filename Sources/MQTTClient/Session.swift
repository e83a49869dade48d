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
    var loss: MQTTLoss?
    /// Whether there is no TCP connection yet.
    var isCalling = true
    /// Why TLS failed.
    var tlsReason: String?
    /// Whether the broker's certificate was refused.
    var wasRefused = false
    /// Whether the library, or TLS below it, may hold bytes that poll(2) does not know of.
    private var mayHoldMore = false
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
        do throws(MQTTTLSError) {
            if let tls = options.tls { try unsafe protect(handle, TLSContext(tls, host: options.host), context) }
        } catch {
            return MQTTLoss(.tls, reason: "TLS: \(error)")
        }
        var code = unsafe prepare(handle)
        if code == MOSQ_ERR_SUCCESS.code { code = unsafe connect(handle) }
        let patience = Duration.monotonic + options.patience
        while code == MOSQ_ERR_SUCCESS.code, !link.isStopping {
            code = unsafe turn(handle)
            // The library closes the socket by itself when the broker says DISCONNECT.
            guard code == MOSQ_ERR_SUCCESS.code, loss == nil, unsafe mosquitto_socket(handle) >= 0 else {
                return ended(code)
            }
            guard wasAccepted || .monotonic < patience else {
                return MQTTLoss(.silence, reason: "the broker does not answer CONNECT")
            }
        }
        guard code == MOSQ_ERR_SUCCESS.code else { return ended(code) }
        unsafe sayGoodbye(handle)
        return MQTTLoss(.other, wasAccepted: wasAccepted, reason: "stopped")
    }

    // MARK: - Turns

    /// Waits for the socket or the bell, a second at most, and does what is to do.
    private func turn(_ handle: OpaquePointer, reads: Bool = true) -> CInt {
        unsafe sendOutgoing(handle)
        let reads = reads && link.hasRoom()
        var wanted: CInt = reads ? POLLIN : 0
        if unsafe mosquitto_want_write(handle) { wanted |= CInt(POLLOUT) }
        var files = unsafe [
            pollfd(fd: mosquitto_socket(handle), events: Int16(wanted), revents: 0),
            pollfd(fd: link.work.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        guard unsafe poll(&files, 2, reads && mayHoldMore ? 0 : 1000) >= 0 || errno == EINTR else {
            return MOSQ_ERR_ERRNO.code
        }
        if files[1].revents != 0 { link.work.wait() }
        let ready = CInt(files[0].revents)
        var code = MOSQ_ERR_SUCCESS.code
        if ready & ~CInt(POLLOUT) != 0 || (reads && mayHoldMore) { code = unsafe read(handle) }
        if code == MOSQ_ERR_SUCCESS.code, ready & CInt(POLLOUT) != 0 { code = unsafe mosquitto_loop_write(handle, 1) }
        // Keep-alive.
        return unsafe code == MOSQ_ERR_SUCCESS.code ? mosquitto_loop_misc(handle) : code
    }

    /// Reads packets until there are no more bytes, the inbox is full, or others must have their turn.
    private func read(_ handle: OpaquePointer) -> CInt {
        mayHoldMore = false
        for _ in 0..<Self.packetsPerTurn {
            errno = 0
            let code = unsafe mosquitto_loop_read(handle, 1)
            guard code == MOSQ_ERR_SUCCESS.code, errno != EAGAIN, unsafe mosquitto_socket(handle) >= 0 else {
                return code
            }
            guard link.hasRoom() else { break }
        }
        mayHoldMore = options.tls != nil
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
                let refusal = refusal(code)
                link.post(.failed(id: outgoing.id, code: refusal, reason: reason(code)))
                // Whoever waits for the acknowledgement must hear of its end.
                if refusal == nil, loss == nil { loss = ended(code) }
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
        for id in unwritten.values.sorted() {
            link.post(.failed(id: id, code: nil, reason: "the connection ended before it was sent"))
        }
        for id in unacknowledged.values.sorted() {
            link.post(.failed(id: id, code: nil, reason: "the connection ended before PUBACK"))
        }
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
            loss = MQTTLoss(.refused(code: UInt8(truncatingIfNeeded: code)), reason: unsafe text(words))
            return
        }
        guard !wasAccepted else {
            loss = MQTTLoss(.other, wasAccepted: true, reason: "the broker sent CONNACK twice")
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
        let flags = options.version == .v5 && options.ignoresOwn ? CInt(MQTT_SUB_OPT_NO_LOCAL.rawValue) : 0
        let code = unsafe mosquitto_subscribe_multiple(handle, &mid, CInt(filters.count), &filters, 1, flags, nil)
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
        loss = MQTTLoss(.denied, reason: "the broker refuses the subscriptions: \(first.reason)")
    }

    /// QoS 0: it is written; otherwise PUBACK or PUBCOMP has come.
    func published(_ mid: CInt, _ code: CInt) {
        guard unwritten.removeValue(forKey: mid) == nil else { return }
        guard let id = unacknowledged.removeValue(forKey: mid) else {
            writtenAtOnce = mid
            return
        }
        let code = UInt8(truncatingIfNeeded: code)
        guard code >= 0x80 else { return link.post(.published(id: id, code: code)) }
        link.post(.failed(id: id, code: code, reason: unsafe text(mosquitto_reason_string(CInt(code)))))
    }

    /// DISCONNECT of MQTT 5 says why, in codes from 0x80 on; lower ones are the library's, which `ended` knows better.
    func disconnected(_ code: CInt) {
        guard loss == nil, code >= 0x80 else { return }
        let isTakenOver = code == CInt(MQTT_RC_SESSION_TAKEN_OVER.rawValue)
        let cause = isTakenOver ? .takenOver : MQTTLoss.Cause.dismissed(code: UInt8(truncatingIfNeeded: code))
        let words = unsafe text(mosquitto_reason_string(code))
        loss = MQTTLoss(cause, wasAccepted: wasAccepted, reason: "the broker says: \(words)")
    }

    /// The first reason is the exact one.
    func noteTLS(_ reason: String) { tlsReason = tlsReason ?? reason }

    /// A certificate of the broker's is not good.
    func noteCertificate(_ reason: String) {
        wasRefused = true
        noteTLS(reason)
    }
}
