internal import JSON
internal import MQTTClient

/// Dialect `journal`: each device as a retained record at any MQTT 5 broker, which may forget.
///
/// A broker acknowledges before its disk knows, and may come back with an older state. So the hub keeps a cursor there
/// too, published behind the records that it covers, and reads it after each CONNACK: from there on all is told again.
/// Devices that have ended since may stand there again, and no line of the log speaks of them any more. So a broker that
/// has forgotten the end of a device is asked for all records that it keeps.
struct JournalDialect: Dialect {
    /// How long the broker has, after SUBACK, to send the cursor that it keeps.
    private static let patience = Duration.seconds(2)
    /// How long the broker has for SUBACK.
    private static let longestSubscribing = Duration.seconds(15)
    /// How long the broker has for PUBACK, from the last one on.
    private static let longestSilence = Duration.seconds(60)
    /// How long the broker sends none of the records that it keeps before they are held to be all.
    private static let sweepTime = Duration.seconds(10)
    /// How many records there are to one cursor.
    private static let recordsPerCursor = 10
    /// How long a cursor waits for further records.
    private static let idleTime = Duration.seconds(1)

    enum Phase {
        case down
        /// SUBACK is awaited until that time: without it nobody knows what the broker keeps.
        case subscribing(until: Duration)
        /// The broker's cursor is awaited until that time.
        case comparing(until: Duration)
        case running
    }

    private enum Awaited {
        case record(of: Text)
        /// That the device is gone, behind which its topic is emptied.
        case farewell
        case cursor
    }

    private let settings: Settings
    private let topics: JournalTopics
    private var link = Reconnection()
    private(set) var phase = Phase.down
    private var awaited: [Receipt: Awaited] = [:]
    private var devices = 0
    private var lastReceipt: UInt64 = 0
    private var recordsSinceCursor = 0
    private var publishedCursor: UInt64 = 0
    private var cursorDue: Duration?
    private var silenceEnd: Duration?
    /// Whether the last connection was given up because nothing was acknowledged; until something is, the next ones are
    /// news to nobody.
    private var isSilent = false
    /// The broker's cursor while all its records are to be looked at, and when they were; nil when they need not be.
    private var sweep: (from: UInt64, end: Duration?)?

    /// A dialect that has yet to be started.
    init(_ settings: Settings) {
        self.settings = settings
        topics = JournalTopics(hub: settings.hub)
    }

    func room(at now: Duration) -> Int { if case .running = phase { settings.window - devices } else { 0 } }

    var deadline: Duration? {
        switch phase {
        case .down: link.deadline
        case .subscribing(let until), .comparing(let until): until
        case .running: [cursorDue, silenceEnd, sweep?.end].compactMap(\.self).min()
        }
    }

    mutating func handle(_ input: Input, at moment: Moment) -> [Action] {
        switch input {
        case .start, .time: return wake(moment)
        case .resume:
            link.hurry()
            return wake(moment)
        case .connected:
            link.connected(at: moment.now)
            phase = .subscribing(until: moment.now + Self.longestSubscribing)
            return [.publish(link.channel, topics.status(isOnline: true), nil)]
        case .subscribed(_, let refused): return subscribed(refused.map(\.filter), moment)
        case .message(_, let message): return received(message, moment)
        case .device(let change): return publish(change, moment)
        case .acknowledged(_, let receipt, let code, let reason): return settle(receipt, code, reason, moment)
        case .disconnected(_, let loss):
            reset()
            return [.rewind(to: .max)] + link.lost(loss, as: settings.clientId, at: moment)
        case .stop:
            link.stop()
            guard case .down = phase else { return [.publish(link.channel, topics.status(isOnline: false), nil)] }
            return []
        }
    }

    private mutating func wake(_ moment: Moment) -> [Action] {
        switch phase {
        case .down: return link.connect(introduction, at: moment.now)
        case .subscribing(let until):
            if until <= moment.now { return giveUp("the broker has not answered SUBSCRIBE within 15 s", moment) }
        case .comparing(let until):
            // The broker keeps no cursor.
            if until <= moment.now { return compare(with: 0, moment) }
        case .running:
            if let end = sweep?.end, end <= moment.now {
                sweep = nil
                if devices == 0 { cursorDue = moment.now }
            }
            if let end = silenceEnd, end <= moment.now {
                isSilent = true
                return giveUp("the broker has acknowledged nothing for a minute", moment)
            }
            if let due = cursorDue, due <= moment.now {
                cursorDue = nil
                return cursor(moment)
            }
        }
        return []
    }

    private var introduction: Introduction {
        Introduction(
            clientId: settings.clientId, version: .v5, login: settings.login, will: topics.status(isOnline: false),
            subscriptions: [topics.cursor] + (sweep == nil ? [] : [topics.devices]))
    }

    private mutating func subscribed(_ refused: [String], _ moment: Moment) -> [Action] {
        guard case .subscribing = phase else { return [] }
        guard !refused.contains(topics.cursor) else {
            return giveUp("the broker refuses the subscription to \(topics.cursor)", moment)
        }
        if let from = sweep?.from {
            sweep?.end = moment.now + Self.sweepTime
            if refused.contains(topics.devices) { sweep = nil }
            return run(from: from, moment)
        }
        phase = .comparing(until: moment.now + Self.patience)
        return []
    }

    private mutating func received(_ message: MQTTMessage, _ moment: Moment) -> [Action] {
        switch phase {
        case .subscribing where sweep == nil && message.topic == topics.cursor,
            .comparing where message.topic == topics.cursor:
            return JournalTopics.seq(message.payload).map { compare(with: $0, moment) } ?? []
        case .subscribing where sweep != nil && message.isRetained && !message.payload.isEmpty,
            .running where sweep != nil && message.isRetained && !message.payload.isEmpty:
            guard let device = topics.device(message.topic) else { return [] }
            sweep?.end = moment.now + Self.sweepTime
            return [.examine(device: device)]
        default: return []
        }
    }

    /// Goes on behind the number that the broker knows, which may be the one before it forgot the rest.
    private mutating func compare(with seq: UInt64, _ moment: Moment) -> [Action] {
        guard seq < moment.ended, sweep == nil else { return run(from: seq, moment) }
        sweep = (seq, nil)
        reset()
        return link.renew(introduction, at: moment.now)
    }

    /// Leaves a connection that is of no use.
    private mutating func giveUp(_ reason: String, _ moment: Moment) -> [Action] {
        reset()
        return [.rewind(to: .max)] + link.drop(reason, at: moment)
    }

    private mutating func run(from seq: UInt64, _ moment: Moment) -> [Action] {
        phase = .running
        publishedCursor = seq
        cursorDue = moment.now + Self.idleTime
        // A broker that answers is of use, also to a hub that has nothing to tell; one that was silent has to acknowledge.
        if !isSilent { link.proved() }
        return [.rewind(to: seq)] + (isSilent ? [] : [.report(.connected)])
    }

    private mutating func reset() {
        phase = .down
        awaited = [:]
        (devices, recordsSinceCursor, cursorDue, silenceEnd) = (0, 0, nil, nil)
        sweep?.end = nil
    }

    private mutating func publish(_ change: Change, _ moment: Moment) -> [Action] {
        devices += 1
        cursorDue = nil
        var actions: [Action] = []
        switch change.content {
        case .device(let device, let profile):
            let record = topics.record(change, device, profile, withCredentials: settings.includesCredentials)
            actions.append(.publish(link.channel, record, receipt(.record(of: change.device), moment)))
        case .deleted:
            actions.append(.publish(link.channel, topics.farewell(change), receipt(.farewell, moment)))
            actions.append(.publish(link.channel, topics.nothing(change), receipt(.record(of: change.device), moment)))
        }
        recordsSinceCursor += 1
        if recordsSinceCursor >= Self.recordsPerCursor { actions += cursor(moment) }
        return actions
    }

    /// Publishes the cursor if the broker keeps another one; of a hub that was restored it may be a later one.
    ///
    /// Not while the broker may have devices that have ended: with the cursor it would be held to know of their ends.
    private mutating func cursor(_ moment: Moment) -> [Action] {
        guard moment.cursor != publishedCursor, sweep == nil, !moment.hasGhosts else { return [] }
        recordsSinceCursor = 0
        publishedCursor = moment.cursor
        return [.publish(link.channel, topics.cursor(moment.cursor), receipt(.cursor, moment))]
    }

    private mutating func settle(
        _ receipt: Receipt, _ code: UInt8, _ words: String, _ moment: Moment
    ) -> [Action] {
        guard let what = awaited.removeValue(forKey: receipt) else { return [] }
        silenceEnd = awaited.isEmpty ? nil : moment.now + Self.longestSilence
        link.proved()
        guard isSilent else { return settle(what, code, words, moment) }
        isSilent = false
        return [.report(.connected)] + settle(what, code, words, moment)
    }

    private mutating func settle(_ what: Awaited, _ code: UInt8, _ words: String, _ moment: Moment) -> [Action] {
        switch what {
        case .record(let device):
            devices -= 1
            if devices == 0 { cursorDue = moment.now + Self.idleTime }
            return [.settle(device: device, code < 0x80 ? .confirmed : .refused(Reason(code: code)))]
        case .farewell: return []
        case .cursor:
            guard code >= 0x80 else { return [] }
            // Without it all would be told again at each connection.
            return giveUp("the broker refuses \(topics.cursor): \(words)", moment)
        }
    }

    private mutating func receipt(_ what: Awaited, _ moment: Moment) -> Receipt {
        if awaited.isEmpty { silenceEnd = moment.now + Self.longestSilence }
        lastReceipt += 1
        let receipt = Receipt(lastReceipt)
        awaited[receipt] = what
        return receipt
    }
}

extension Reason {
    /// The reason of a PUBACK's code (MQTT 5, 3.4.2.1).
    init(code: UInt8) {
        switch code {
        case 0x87: self = .notAuthorised
        case 0x95, 0x97: self = .quota
        default: self = .notAccepted
        }
    }
}
