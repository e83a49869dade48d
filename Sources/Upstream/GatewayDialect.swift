internal import JSON
internal import MQTTClient
internal import Provisioning

/// Dialect `thingsboard-gateway`: the hub as a gateway of ThingsBoard, which makes the devices known there, with their
/// profile and attributes (protocol.md 11.6).
///
/// It cannot carry credentials: ThingsBoard gives each such device a random token of its own. Nor can it rename: a device
/// with another name is another one there.
///
/// It speaks MQTT 5, in which a PUBACK says what was refused; in 3.1.1, which ThingsBoard's own gateway speaks by default,
/// a refusal looks like success. A ThingsBoard that does not know MQTT 5 is spoken to in 3.1.1 all the same.
struct GatewayDialect: Dialect {
    /// How long a PUBACK may take: to a client that is no gateway ThingsBoard never sends one.
    private static let patience = Duration.seconds(15)
    /// After how many connections that were closed before CONNACK the other version of MQTT is tried.
    private static let manyClosings = 3
    /// After how many connections that were closed before any device was settled devices are told one at a time.
    private static let manyBarren = 3
    /// How long a device waits that nobody can be sure of.
    private static let pause = Duration.seconds(600)

    private struct Flight {
        var open: Set<Receipt>
        let deadline: Duration
        /// The code of the first refusal.
        var code: UInt8 = 0
    }

    private let settings: Settings
    private var link = Reconnection()
    private var isUp = false
    private var version = MQTTOptions.Version.v5
    /// How many connections in a row were closed before CONNACK.
    private var closings = 0
    private var flights: [Text: Flight] = [:]
    private var owners: [Receipt: Text] = [:]
    private var lastReceipt: UInt64 = 0
    /// How many connections in a row were closed with devices in flight before one was settled.
    private var barren = 0
    /// How many devices are still told one at a time: one of them has ThingsBoard close the connection.
    private var suspects = 0
    /// Whether ThingsBoard has taken a device since one was last found to be the one.
    private var isTaking = true

    /// A dialect that has yet to be started.
    init(_ settings: Settings) { self.settings = settings }

    func room(at now: Duration) -> Int { isUp ? (suspects > 0 ? 1 : settings.window) - flights.count : 0 }

    var deadline: Duration? { isUp ? flights.values.map(\.deadline).min() : link.deadline }

    mutating func handle(_ input: Input, at moment: Moment) -> [Action] {
        switch input {
        case .start, .time: return wake(moment)
        case .resume:
            link.hurry()
            return wake(moment)
        case .connected:
            link.connected(at: moment.now)
            (isUp, closings) = (true, 0)
            return [.rewind(to: .max), .report(.connected)]
        case .device(let change): return publish(change, moment)
        case .acknowledged(_, let receipt, let code, _):
            link.proved()
            return settle(receipt, code)
        case .disconnected(_, let loss):
            choose(after: loss)
            let blamed = blame(loss)
            reset()
            return blamed + [.rewind(to: .max)] + link.lost(loss, as: settings.clientId, at: moment)
        case .stop:
            link.stop()
            return []
        case .subscribed, .message: return []
        }
    }

    /// An old ThingsBoard says that it does not know MQTT 5, or closes the connection without a word; so does one that
    /// starts, or a link that breaks, but not again and again.
    private mutating func choose(after loss: MQTTLoss) {
        switch loss.cause {
        case .refused(code: 1), .refused(code: 0x84): version = .v311
        case .closed where loss.kind == .unreachable, .other where loss.kind == .unreachable:
            closings += 1
            guard closings >= Self.manyClosings else { return }
            (version, closings) = (version == .v5 ? .v311 : .v5, 0)
        default: closings = 0
        }
    }

    /// Finds the device, if any, that has ThingsBoard close the connection instead of saying what it does not take; all
    /// others would wait behind it for ever.
    ///
    /// The second one in a row is not refused yet: ThingsBoard may take nobody at present.
    private mutating func blame(_ loss: MQTTLoss) -> [Action] {
        switch loss.cause {
        case .closed, .dismissed: break
        default: return []
        }
        guard let device = flights.keys.first else { return [] }
        guard suspects > 0, flights.count == 1 else {
            barren += 1
            if barren >= Self.manyBarren { suspects = settings.window }
            return []
        }
        let outcome: Outcome = isTaking ? .refused(.notAccepted) : .unanswered(pause: Self.pause)
        (barren, suspects, isTaking) = (0, suspects - 1, false)
        return [.settle(device: device, outcome)]
    }

    private mutating func wake(_ moment: Moment) -> [Action] {
        guard isUp else {
            let introduction = Introduction(clientId: settings.clientId, version: version, login: settings.login)
            return link.connect(introduction, at: moment.now)
        }
        guard flights.values.contains(where: { $0.deadline <= moment.now }) else { return [] }
        reset()
        let reason = "no PUBACK within 15 s: the user name must be the token of a device that is a gateway there"
        return [.rewind(to: .max)] + link.drop(reason, at: moment)
    }

    private mutating func reset() {
        isUp = false
        flights = [:]
        owners = [:]
    }

    private mutating func publish(_ change: Change, _ moment: Moment) -> [Action] {
        guard case .device(let device, let profile) = change.content else {
            return [.settle(device: change.device, .refused(.unsupportedByDialect))]
        }
        var messages = [GatewayMessages.connect(change.upstreamName, profile: profile?.name)]
        if let attributes = GatewayMessages.attributes(change.upstreamName, device.attributes) {
            messages.append(attributes)
        }
        guard messages.allSatisfy({ $0.payload.count <= ThingsBoardRequest.maximumPayload }) else {
            return [.settle(device: change.device, .refused(.notAccepted))]
        }
        var flight = Flight(open: [], deadline: moment.now + Self.patience)
        let actions = messages.map { message -> Action in
            lastReceipt += 1
            let receipt = Receipt(lastReceipt)
            flight.open.insert(receipt)
            owners[receipt] = change.device
            return .publish(link.channel, message, receipt)
        }
        flights[change.device] = flight
        return actions
    }

    private mutating func settle(_ receipt: Receipt, _ code: UInt8) -> [Action] {
        guard let device = owners.removeValue(forKey: receipt), var flight = flights[device] else { return [] }
        flight.open.remove(receipt)
        if flight.code < 0x80 { flight.code = code }
        flights[device] = flight.open.isEmpty ? nil : flight
        guard flight.open.isEmpty else { return [] }
        (barren, suspects, isTaking) = (0, max(0, suspects - 1), true)
        return [.settle(device: device, flight.code < 0x80 ? .confirmed : .refused(Reason(code: flight.code)))]
    }
}

/// What a gateway says of its devices.
private enum GatewayMessages {
    /// That a device is there: makes it, and its profile, where they are unknown.
    static func connect(_ name: Text, profile: Text?) -> MQTTPublication {
        var json = JSONWriter()
        json.beginObject()
        json.member("device", name)
        if let profile { json.member("type", profile) }
        json.endObject()
        return MQTTPublication(topic: "v1/gateway/connect", payload: json.bytes, qos: 1)
    }

    /// Its attributes but those that are null; nil when it has none: ThingsBoard would take both for errors, and close the
    /// connection.
    static func attributes(_ name: Text, _ attributes: JSONObject) -> MQTTPublication? {
        let attributes = JSONObject(attributes.members.filter { $0.value != .null })
        guard !attributes.members.isEmpty else { return nil }
        var json = JSONWriter()
        json.beginObject()
        json.name(escaping: name)
        json.value(.object(attributes))
        json.endObject()
        return MQTTPublication(topic: "v1/gateway/attributes", payload: json.bytes, qos: 1)
    }
}
