import Crypto
import JSON
import MQTTClient
import Provisioning
import Testing
import Upstream

/// A dialect with a clock that stands still unless it is moved, and all that it wanted so far.
final class ThingsBoardPlay {
    struct Connection {
        let introduction: Introduction
        var isOpen = true
        var isUp = false
    }

    private var dialect: ThingsBoardDialect
    private(set) var now = Duration.seconds(1000)
    var cursor: UInt64 = 0
    private(set) var actions: [Action] = []
    /// The newest connection of each channel.
    private(set) var connections: [Channel: Connection] = [:]
    /// The requests that were published last, by channel, with their receipts.
    private(set) var requests: [Channel: (payload: [UInt8], receipt: Receipt)] = [:]
    private(set) var outcomes: [String: Outcome] = [:]
    /// How often each device was put off, because upstream never answers for it.
    private(set) var unanswered: [String: Int] = [:]
    /// For how long, in order.
    private(set) var rests: [Duration] = []
    /// Devices that were given back, and come again as soon as there is room.
    private(set) var released: [Text] = []
    /// The newest state of each device.
    private var changes: [Text: Change] = [:]
    private(set) var published = 0
    private(set) var state: LinkState?

    /// - Parameter change: changes the settings from one session without a bound on the rate.
    init(_ change: (inout Settings) -> Void = { _ in }) {
        var settings = Settings(hub: "0123456789abcdef0123456789abcdef")
        settings.sessions = 1
        settings.rate = nil
        change(&settings)
        dialect = ThingsBoardDialect(settings)
        tell(.start)
    }

    /// Starts, and lets the first session in.
    static func connected(_ change: (inout Settings) -> Void = { _ in }) -> ThingsBoardPlay {
        let play = ThingsBoardPlay(change)
        play.tell(.connected(Channel(0)))
        return play
    }

    var room: Int { dialect.room(at: now) }
    var deadline: Duration? { dialect.deadline }
    /// The channel of the tests of credentials.
    var testChannel = Channel(1)
    /// The test that is under way.
    var test: Introduction? { connections[testChannel].flatMap { $0.isOpen ? $0.introduction : nil } }

    @discardableResult
    func tell(_ input: Input, chance: Double = 0.5) -> [Action] {
        if case .connected(let channel) = input { connections[channel]?.isUp = true }
        if case .disconnected(let channel, _) = input { connections[channel]?.isOpen = false }
        let new = dialect.handle(input, at: Moment(now: now, chance: chance, cursor: cursor))
        actions += new
        for action in new { take(action) }
        guard room > 0, !released.isEmpty, let change = changes[released.removeFirst()] else { return new }
        return new + tell(.device(change), chance: chance)
    }

    private func take(_ action: Action) {
        switch action {
        case .connect(let channel, let introduction):
            #expect(connections[channel]?.isOpen != true, "connected twice")
            connections[channel] = Connection(introduction: introduction)
        case .disconnect(let channel):
            #expect(connections[channel]?.isOpen == true, "disconnected without a connection")
            connections[channel]?.isOpen = false
            requests[channel] = nil
        case .publish(let channel, let publication, let receipt):
            #expect(connections[channel]?.isUp == true && connections[channel]?.isOpen == true)
            #expect(publication.topic == "/provision/request" && publication.qos == 1 && !publication.isRetained)
            published += 1
            if let receipt { requests[channel] = (publication.payload, receipt) }
        case .settle(let device, let outcome):
            #expect(outcomes[device.description] == nil, "settled twice")
            if case .unanswered(let pause) = outcome {
                rests.append(pause)
                return unanswered[device.description, default: 0] += 1
            }
            outcomes[device.description] = outcome
        case .release(let device): released.append(device)
        case .rewind, .examine: Issue.record("\(action)")
        case .report(let new): state = new
        }
    }

    /// Moves the clock, and wakes the dialect at each of its deadlines on the way.
    func pass(_ time: Duration) {
        let end = now + time
        var turns = 0
        while let deadline, deadline <= end {
            now = max(now, deadline)
            tell(.time)
            turns += 1
            guard turns < 1000 else {
                Issue.record("the deadline does not move")
                return
            }
        }
        now = end
        tell(.time)
    }

    /// Offers a device; its id is its name.
    @discardableResult
    func offer(
        _ name: String, _ credentials: Credentials? = nil, seq: UInt64 = 1, provisioned: UInt64 = 1,
        isGateway: Bool = false, formerName: Text? = nil, profile: DeviceProfile? = ThingsBoardPlay.meters
    ) -> [Action] {
        let change = change(
            name, credentials, seq: seq, provisioned: provisioned, isGateway: isGateway, formerName: formerName,
            profile: profile)
        return tell(.device(change))
    }

    /// A device is another one from now on; who has it in flight learns of that when it comes again.
    @discardableResult
    func change(
        _ name: String, _ credentials: Credentials? = nil, seq: UInt64 = 1, provisioned: UInt64 = 1,
        isGateway: Bool = false, formerName: Text? = nil, profile: DeviceProfile? = ThingsBoardPlay.meters
    ) -> Change {
        let device = Device(
            id: Text(name), name: Text(name), profile: "p", createdTime: 0,
            credentials: credentials ?? Self.token("token-of-\(name)"), isGateway: isGateway,
            provisioned: Device.Provisioned(seq: provisioned, via: "http", source: .hub))
        var change = Change(
            seq: seq, device: device.id, content: .device(device, profile), upstreamName: Text("up-" + name))
        change.formerName = formerName
        changes[device.id] = change
        return change
    }

    /// Offers a device again that was put off.
    func offerAgain(_ name: String) { if let change = changes[Text(name)] { tell(.device(change)) } }

    /// Acknowledges the request of a session.
    func acknowledge(_ channel: Channel = Channel(0)) throws {
        let receipt = try #require(requests[channel]?.receipt)
        tell(.acknowledged(channel, receipt, code: 0, reason: ""))
    }

    /// Sends an answer, without an acknowledgement before it.
    func send(_ text: String, _ channel: Channel = Channel(0)) {
        let message = MQTTMessage(topic: "/provision/response", payload: Array(text.utf8), qos: 1)
        tell(.message(channel, message))
    }

    /// Acknowledges and answers the request of a session.
    func answer(_ text: String, _ channel: Channel = Channel(0)) throws {
        try acknowledge(channel)
        send(text, channel)
    }

    /// Answers SUCCESS with the token that came.
    func confirm(_ channel: Channel = Channel(0)) throws {
        let request = try #require(requests[channel])
        requests[channel] = nil
        tell(.acknowledged(channel, request.receipt, code: 0, reason: ""))
        send(Self.success(try #require(JSONValue.parse(request.payload)["token"]?.text?.description)), channel)
    }

    func lose(_ channel: Channel = Channel(0), _ cause: MQTTLoss.Cause = .closed) {
        requests[channel] = nil
        let wasUp = connections[channel]?.isUp == true
        tell(.disconnected(channel, MQTTLoss(cause, wasAccepted: wasUp, reason: "lost")))
    }

    /// The test is let in, and the stranger behind it is not.
    func findThere() {
        tell(.connected(testChannel))
        if test?.login?.username.hasPrefix("nobody-") == true { lose(testChannel, .refused(code: 5)) }
    }

    func findNot() { lose(testChannel, .refused(code: 5)) }

    // MARK: - Values

    static func token(_ token: String) -> Credentials { Credentials(type: .accessToken, id: Text(token)) }
    static func success(_ token: String) -> String {
        #"{"credentialsValue":"\#(token)","credentialsType":"ACCESS_TOKEN","status":"SUCCESS"}"#
    }
    static let failure = #"{"errorMsg":"Failed to provision device!","status":"FAILURE"}"#
    static let notFound = #"{"errorMsg":"Provision data was not found!","status":"NOT_FOUND"}"#
    static let certificate = Credentials(type: .x509Certificate, id: "hash", value: "MIIB")
    static var meters: DeviceProfile {
        DeviceProfile(
            id: "p", name: "meters", createdTime: 0, strategy: .allowCreateNewDevices, provisionKey: "key",
            provisionSecret: Secret(Array("secret".utf8)))
    }
}
