internal import EventLoop
internal import Synchronization

/// What the loop's thread and the network's thread share: two queues with a bell each, and a few words.
///
/// Both queues are bounded. When the inbox is full the network's thread stops reading, so that messages wait in the
/// socket and then in the broker, which bounds them itself: nothing is lost that need not be, and whoever floods is
/// slowed down. The outbox has room for an answer to each message of a full inbox, to as many that the loop has taken
/// already, and as much again. When it is full a publication is refused at once, because a broker that does not read
/// cannot be waited for.
final class Link: Sendable {
    /// The most messages that wait for the loop, and the same in bytes.
    static let maximumMessages = 1024
    static let maximumBytes = 4 << 20
    /// The most publications that wait for the network, and the same in bytes.
    static let maximumPublications = 4 * maximumMessages
    static let maximumPublicationBytes = 4 * maximumBytes

    private struct Inbox {
        var events: [MQTTEvent] = []
        var messages = 0
        var bytes = 0
        var isPaused = false
        /// Whether the network's thread wants to hear when there is room again.
        var isReaderWaiting = false
    }

    private struct Outbox {
        var entries: [Outgoing] = []
        var bytes = 0
        var isConnected = false
        /// Whether the network's thread sits in a call that no bell ends: getaddrinfo(3) or connect(2).
        var isCalling = false
        var isStopping = false
        var lastId: UInt64 = 0

        mutating func take() -> [Outgoing] {
            defer { (entries, bytes) = ([], 0) }
            return entries
        }
    }

    /// A publication on its way to the network's thread.
    struct Outgoing: Sendable {
        let id: UInt64
        let publication: MQTTPublication
    }

    /// Rings on the loop's side: events wait.
    let events: Wakeup
    /// Rings on the network's side: publications wait, there is room again, or it must stop.
    let work: Wakeup
    /// Rings once, when the network's thread has said goodbye to the broker.
    let farewell: Wakeup
    private let inbox = Mutex(Inbox())
    private let outbox = Mutex(Outbox())

    init() throws(SystemError) {
        events = try Wakeup()
        work = try Wakeup()
        farewell = try Wakeup()
    }

    // MARK: - The network's side

    /// Puts an event into the inbox.
    func post(_ event: MQTTEvent) {
        let isFirst = inbox.withLock { inbox in
            if case .message(let message) = event {
                inbox.messages += 1
                inbox.bytes += message.size
            }
            inbox.events.append(event)
            return inbox.events.count == 1
        }
        if isFirst { events.ring() }
    }

    /// Whether another message may be read; if not, `work` rings when one may.
    func hasRoom() -> Bool {
        inbox.withLock { inbox in
            let hasRoom =
                !inbox.isPaused && inbox.messages < Self.maximumMessages && inbox.bytes < Self.maximumBytes
            inbox.isReaderWaiting = !hasRoom
            return hasRoom
        }
    }

    /// Lets publications in from now on, or no more: those that wait have failed.
    func setConnected(_ isConnected: Bool) {
        let stranded = outbox.withLock { outbox in
            outbox.isConnected = isConnected
            return isConnected ? [] : outbox.take()
        }
        for outgoing in stranded {
            post(.failed(id: outgoing.id, code: nil, reason: "the connection ended before it was sent"))
        }
    }

    /// Tells whether the network's thread is about to sit in a call that no bell ends.
    func setCalling(_ isCalling: Bool) { outbox.withLock { $0.isCalling = isCalling } }

    /// All publications that wait.
    func takeOutgoing() -> [Outgoing] { outbox.withLock { $0.take() } }

    var isStopping: Bool { outbox.withLock { $0.isStopping } }

    // MARK: - The loop's side

    /// All events that wait.
    func takeEvents() -> [MQTTEvent] {
        let (taken, wakesReader) = inbox.withLock { inbox in
            let taken = inbox.events
            inbox.events = []
            (inbox.messages, inbox.bytes) = (0, 0)
            return (taken, inbox.isReaderWaiting && !inbox.isPaused)
        }
        if wakesReader { work.ring() }
        return taken
    }

    func setPaused(_ isPaused: Bool) {
        let wakesReader = inbox.withLock { inbox in
            inbox.isPaused = isPaused
            return inbox.isReaderWaiting && !isPaused
        }
        if wakesReader { work.ring() }
    }

    /// Puts a publication into the outbox; nil without a connection or room.
    func publish(_ publication: MQTTPublication) -> UInt64? {
        let (id, isFirst) = outbox.withLock { outbox -> (UInt64?, Bool) in
            guard outbox.isConnected, !outbox.isStopping,
                outbox.entries.count < Self.maximumPublications, outbox.bytes < Self.maximumPublicationBytes
            else { return (nil, false) }
            outbox.lastId += 1
            outbox.bytes += publication.size
            outbox.entries.append(Outgoing(id: outbox.lastId, publication: publication))
            return (outbox.lastId, outbox.entries.count == 1)
        }
        if isFirst { work.ring() }
        return id
    }

    /// Tells the network's thread to end; returns whether it hears that soon.
    func stop() -> Bool {
        let isCalling = outbox.withLock { outbox in
            outbox.isStopping = true
            return outbox.isCalling
        }
        work.ring()
        return !isCalling
    }
}
