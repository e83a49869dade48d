internal import Crypto
internal import JSON
internal import MQTTClient
internal import Provisioning

/// A device on its way upstream.
struct ThingsBoardJob {
    /// Why nobody knows yet how it stands with the device.
    enum Doubt {
        /// Upstream said FAILURE.
        case failure
        /// No answer, or none that can be read.
        case unknown
        /// Upstream answered with these credentials instead of its own.
        case differs(Credentials)
    }

    let device: Device
    /// The device's id.
    let id: Text
    /// The number of its line in the log.
    let seq: UInt64
    let payload: [UInt8]
    /// What people call its profile.
    let profile: Text
    var doubt = Doubt.unknown
    /// Whether upstream was told of it before: its credentials may well work there, and then nothing need be asked.
    var isTestedFirst = false
    /// Whether upstream may know it by another name.
    var isRenamed = false
    /// What its earlier requests have come to.
    var past = Past()
    /// What is remembered of a device between two requests, whatever else becomes of it meanwhile.
    struct Past {
        /// Whether its credentials were tested since it was asked for, as far as they can be, and did not work upstream.
        var isTested = false
        /// How often a test found nobody to ask.
        var failedTests = 0
        /// How often nobody knew whether it had arrived.
        var unknowns = 0
        /// How often others went first for a while, although some were answered.
        var rests = 0
        /// How many answers of any device there had been when that happened first.
        var answersBefore: UInt64 = 0
        /// Not to be asked for again before that.
        var notBefore = Duration.zero
    }
}

/// One connection of the user `provision` with one request at a time, and the devices that wait for it.
struct ThingsBoardSession {
    /// How the connection is doing.
    enum Link: Equatable {
        case down
        /// With a time: until then it takes the place of one that worked, which nobody needs to hear of.
        case connecting(plannedUntil: Duration?)
        case up
    }

    /// The one request in flight.
    struct Request {
        var job: ThingsBoardJob
        let receipt: Receipt
        /// ThingsBoard acknowledges a request right before it answers it: whatever comes before is of an earlier one.
        var isAcknowledged = false
        let deadline: Duration
    }

    /// ThingsBoard closes a connection 60 s after its first answer; the hub leaves before.
    private static let lifetime = Duration.seconds(45)
    /// How long a connection that nobody needs stays.
    private static let idleTime = Duration.seconds(10)
    /// How many answers back one that comes twice is recognised.
    private static let memory = 32

    let channel: Channel
    let clientId: String
    /// Whether it stays without anything to do, so that it is seen when the link breaks.
    let isPermanent: Bool
    var link = Link.down
    var request: Request?
    var waiting: [ThingsBoardJob] = []
    /// When it is to be left; nil before the first answer.
    private(set) var end: Duration?
    private var idleSince = Duration.zero
    private var answered: [Credentials] = []

    init(number: Int, clientId: String) {
        channel = Channel(number)
        self.clientId = "\(clientId)-\(number)"
        isPermanent = number == 0
    }

    /// How many devices it holds.
    var count: Int { waiting.count + (request == nil ? 0 : 1) }

    var introduction: Introduction {
        Introduction(
            clientId: clientId, version: .v311, login: MQTTLogin(username: "provision", password: ""),
            subscriptions: [ThingsBoardTopics.response])
    }

    /// Whether it is connected, or as good as.
    var isWorking: Bool {
        switch link {
        case .up: true
        case .down: false
        case .connecting(let plannedUntil): plannedUntil != nil
        }
    }

    /// When a device that waits may be asked for; nil when there is none.
    var due: Duration? { waiting.lazy.map(\.past.notBefore).min() }

    /// Whether the connection is to be left, at a moment when nothing is in flight.
    func isOver(at now: Duration) -> Bool { expiry.map { $0 <= now } ?? false }

    /// When it is to be left; nil while it stays.
    var expiry: Duration? {
        guard link == .up, request == nil else { return nil }
        guard waiting.isEmpty, !isPermanent else { return end }
        return [end, idleSince + Self.idleTime].compactMap(\.self).min()
    }

    /// CONNACK 0 has come.
    mutating func connected(at now: Duration) {
        link = .up
        (end, idleSince, answered) = (nil, now, [])
    }

    /// Takes the next device that may be asked for now.
    mutating func next(at now: Duration) -> ThingsBoardJob? {
        guard let index = waiting.firstIndex(where: { $0.past.notBefore <= now }) else { return nil }
        return waiting.remove(at: index)
    }

    /// Takes note that the request was answered, and by whose credentials its copies are known.
    mutating func noteAnswer(_ credentials: Credentials?, at now: Duration) {
        request = nil
        idleSince = now
        end = end ?? now + Self.lifetime
        guard let credentials else { return }
        answered.append(credentials)
        if answered.count > Self.memory { answered.removeFirst() }
    }

    /// Whether an answer with these credentials has come on this connection before.
    func isStray(_ credentials: Credentials) -> Bool { answered.contains { $0.isSame(as: credentials) } }
}

/// The topics (protocol.md 7.3); they begin with a slash.
enum ThingsBoardTopics {
    static let request = "/provision/request"
    static let response = "/provision/response"
}
