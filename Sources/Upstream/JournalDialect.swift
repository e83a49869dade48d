internal import JSON
internal import MQTTClient

/// Dialect `journal`: each device as a retained record at any MQTT 5 broker, which may forget.
///
/// A broker acknowledges before its disk knows, and may come back with an older state. So the hub keeps a cursor there
/// too, published behind the records that it covers, and reads it after each CONNACK: from there on all is told again.
struct JournalDialect: Dialect {
    /// How long the broker has, after SUBACK, to send the cursor that it keeps.
    private static let patience = Duration.seconds(2)
    /// How long the broker has for SUBACK.
    private static let longestSubscribing = Duration.seconds(15)
    /// How many records there are to one cursor.
    private static let recordsPerCursor = 10
    /// How long a cursor waits for further records.
    private static let idleTime = Duration.seconds(1)

    private enum Phase {
        case down
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
    private var phase = Phase.down
    private var awaited: [Receipt: Awaited] = [:]
    private var devices = 0
    private var lastReceipt: UInt64 = 0
    private var recordsSinceCursor = 0
    private var publishedCursor: UInt64 = 0
    private var cursorDue: Duration?

    /// A dialect that has yet to be started.
    init(_ settings: Settings) {
        self.settings = settings
        topics = JournalTopics(hub: settings.hub)
    }

    func room(at now: Duration) -> Int { if case .running = phase { settings.window - devices } else { 0 } }

    var deadline: Duration? {
        switch phase {
        case .down: link.deadline
        case .comparing(let until): until
        case .running: cursorDue
        }
    }

    mutating func handle(_ input: Input, at moment: Moment) -> [Action] {
        switch input {
        case .start, .time: return wake(moment)
        case .resume:
            link.hurry()
            return wake(moment)
        case .connected:
            link.connected()
            phase = .comparing(until: moment.now + Self.longestSubscribing)
            return [.publish(link.channel, topics.status(isOnline: true), nil)]
        case .subscribed(_, let refused):
            guard refused.isEmpty else { return [] }
            if case .comparing = phase { phase = .comparing(until: moment.now + Self.patience) }
            return []
        case .message(_, let message):
            guard case .comparing = phase, message.topic == topics.cursor, let seq = JournalTopics.seq(message.payload)
            else { return [] }
            return run(from: seq, moment)
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
        case .comparing(let until):
            // The broker keeps no cursor.
            if until <= moment.now { return run(from: 0, moment) }
        case .running:
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
            subscriptions: [topics.cursor])
    }

    private mutating func run(from seq: UInt64, _ moment: Moment) -> [Action] {
        phase = .running
        publishedCursor = seq
        cursorDue = moment.now + Self.idleTime
        return [.rewind(to: seq), .report(.connected)]
    }

    private mutating func reset() {
        phase = .down
        awaited = [:]
        (devices, recordsSinceCursor, cursorDue) = (0, 0, nil)
    }

    private mutating func publish(_ change: Change, _ moment: Moment) -> [Action] {
        devices += 1
        cursorDue = nil
        var actions: [Action] = []
        switch change.content {
        case .device(let device, let profile):
            let record = topics.record(change, device, profile, withCredentials: settings.includesCredentials)
            actions.append(.publish(link.channel, record, receipt(.record(of: change.device))))
        case .deleted:
            actions.append(.publish(link.channel, topics.farewell(change), receipt(.farewell)))
            actions.append(.publish(link.channel, topics.nothing(change), receipt(.record(of: change.device))))
        }
        recordsSinceCursor += 1
        if recordsSinceCursor >= Self.recordsPerCursor { actions += cursor(moment) }
        return actions
    }

    /// Publishes the cursor if the broker keeps another one; of a hub that was restored it may be a later one.
    private mutating func cursor(_ moment: Moment) -> [Action] {
        guard moment.cursor != publishedCursor else { return [] }
        recordsSinceCursor = 0
        publishedCursor = moment.cursor
        return [.publish(link.channel, topics.cursor(moment.cursor), receipt(.cursor))]
    }

    private mutating func settle(
        _ receipt: Receipt, _ code: UInt8, _ words: String, _ moment: Moment
    ) -> [Action] {
        guard let what = awaited.removeValue(forKey: receipt) else { return [] }
        switch what {
        case .record(let device):
            devices -= 1
            if devices == 0 { cursorDue = moment.now + Self.idleTime }
            return [.settle(device: device, code < 0x80 ? .confirmed : .refused(Reason(code: code)))]
        case .farewell: return []
        case .cursor:
            guard code >= 0x80 else { return [] }
            // Without it all would be told again at each connection.
            reset()
            return [.rewind(to: .max)]
                + link.drop("the broker refuses \(topics.cursor): \(words)", at: moment)
        }
    }

    private mutating func receipt(_ what: Awaited) -> Receipt {
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
