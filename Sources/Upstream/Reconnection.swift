internal import MQTTClient

/// The life of one connection that is to be there always: pure, the clock comes from outside.
struct Reconnection {
    private enum State {
        case idle(until: Duration)
        case trying
        case up(since: Duration)
        case stopped
    }

    /// So many losses within that time have one cause, and a connection that has lasted so long was of use.
    private static let manyLosses = 3
    private static let brief = Duration.seconds(60)

    let channel: Channel
    /// When connections ended, as far as it was a brief time ago.
    private var ends: [Duration] = []
    private var state = State.idle(until: .zero)
    private var backOff = BackOff()
    /// Whether another client was there in its place, and no connection has lasted since.
    private var isContested = false

    init(_ channel: Channel = Channel(0)) { self.channel = channel }

    /// When it wants to connect; nil while it does not.
    var deadline: Duration? { if case .idle(let until) = state { until } else { nil } }

    /// Connects, if it is time to.
    mutating func connect(_ introduction: Introduction, at now: Duration) -> [Action] {
        guard let deadline, deadline <= now else { return [] }
        state = .trying
        return [.report(.connecting), .connect(channel, introduction)]
    }

    /// Connects anew at once, to subscribe to something else.
    mutating func renew(_ introduction: Introduction, at now: Duration) -> [Action] {
        state = .idle(until: .zero)
        return [.disconnect(channel)] + connect(introduction, at: now)
    }

    /// CONNACK 0 has come; the waits go on growing until `proved`, or until a connection has lasted.
    mutating func connected(at now: Duration) { state = .up(since: now) }

    /// The connection is of use: what was published has been acknowledged.
    ///
    /// Two clients of one id, of which each has the other thrown out, may well get that far.
    mutating func proved() { if !isContested { backOff.reset() } }

    /// There is no connection any more, or there never was.
    mutating func lost(_ loss: MQTTLoss, as clientId: String, at moment: Moment) -> [Action] {
        var reason = loss.reason
        if loss.cause == .takenOver {
            isContested = true
            reason = "another client has connected as \(clientId): each hub must have a state directory of its own"
        } else if case .up(let since) = state {
            if moment.now - since >= Self.brief {
                isContested = false
                backOff.reset()
            }
            ends = ends.filter { moment.now - $0 < Self.brief } + [moment.now]
            // Many brokers do not say so.
            if ends.count >= Self.manyLosses {
                reason += "; again and again: does another client connect as \(clientId)?"
            }
        }
        return wait(reason, at: moment)
    }

    private mutating func wait(_ reason: String, at moment: Moment) -> [Action] {
        let until = moment.now + backOff.next(moment.chance)
        state = .idle(until: until)
        return [.report(.waiting(reason, until: until))]
    }

    /// Gives a connection up that is of no use.
    mutating func drop(_ reason: String, at moment: Moment) -> [Action] {
        [.disconnect(channel)] + wait(reason, at: moment)
    }

    /// Does not wait any longer.
    mutating func hurry() { if case .idle = state { state = .idle(until: .zero) } }

    /// Does nothing from now on.
    mutating func stop() { state = .stopped }
}
