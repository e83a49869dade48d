internal import CMosquitto
public import EventLoop
internal import Glibc

/// A client of an MQTT broker, by libmosquitto on a thread of its own; unless told otherwise it connects for ever, and
/// again after every loss.
///
/// Looking names up, connecting and the socket stay on that thread, so that a broker that is away never holds up the
/// loop. The thread is never joined: it may sit in getaddrinfo(3). Not Sendable: this side lives on the loop's thread.
public final class MQTTClient: EventSource {
    /// Takes each event, on the loop's thread.
    public typealias Handler = (MQTTEvent) -> Void

    private let link: Link
    private let handler: Handler
    /// What a pause has kept from the handler.
    private var held: ArraySlice<MQTTEvent> = []

    /// Starts the thread and with it the first try; the loop must `add` the client.
    ///
    /// - Parameters:
    ///   - options: where to, and as whom.
    ///   - handler: called on the loop's thread.
    public init(_ options: MQTTOptions, _ handler: @escaping Handler) throws(SystemError) {
        link = try Link()
        self.handler = handler
        guard mosquitto_lib_init() == MOSQ_ERR_SUCCESS.code else {
            throw SystemError("mosquitto_lib_init", code: ENOMEM)
        }
        try startThread("mqtt") { [link] in NetworkThread(options, link).run() }
    }

    deinit { _ = link.stop() }

    /// Rings when events wait.
    public var descriptor: CInt? { link.events.descriptor }

    /// Hands the events that wait to the handler, one after the other until it pauses the client.
    public func run() {
        link.events.wait()
        let isRest = !held.isEmpty
        if !isRest, !isPaused { held = link.takeEvents()[...] }
        while !isPaused, let event = held.popFirst() { handler(event) }
        // The bell may have been for those behind the rest.
        if isRest, !isPaused { link.events.ring() }
    }

    /// Whether no events come for now, and no messages are read: they wait in the socket and in the broker.
    public var isPaused = false {
        didSet {
            guard isPaused != oldValue else { return }
            link.setPaused(isPaused)
            if !isPaused { link.events.ring() }
        }
    }

    /// Hands a message to the network's thread; does not block.
    ///
    /// - Returns: what `published` or `failed` will call it, the former only from QoS 1 on; nil when it was dropped,
    ///   because there is no connection or 4,096 messages or 16 MiB wait already.
    @discardableResult
    public func publish(_ publication: MQTTPublication) -> UInt64? { link.publish(publication) }

    /// Ends the connection after sending what has been published; no event comes any more.
    ///
    /// - Parameter limit: how long that may take; no time at all while the client looks up a name or calls the broker.
    public func stop(within limit: Duration) {
        guard link.stop() else { return }
        var bell = pollfd(fd: link.farewell.descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&bell, 1, CInt(clamping: limit.milliseconds))
    }
}

extension MQTTClient {
    /// The library behind it, and its version at run time.
    public static var library: (name: String, version: String) {
        var (major, minor, revision): (CInt, CInt, CInt) = (0, 0, 0)
        _ = unsafe mosquitto_lib_version(&major, &minor, &revision)
        return ("libmosquitto", "\(major).\(minor).\(revision)")
    }
}
