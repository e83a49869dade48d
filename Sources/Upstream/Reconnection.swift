internal import MQTTClient

/// The life of one connection that is to be there always: pure, the clock comes from outside.
struct Reconnection {
    private enum State {
        case idle(until: Duration)
        case trying
        case up
        case stopped
    }

    let channel: Channel
    private var state = State.idle(until: .zero)
    private var backOff = BackOff()

    init(_ channel: Channel = Channel(0)) { self.channel = channel }

    /// When it wants to connect; nil while it does not.
    var deadline: Duration? { if case .idle(let until) = state { until } else { nil } }

    /// Connects, if it is time to.
    mutating func connect(_ introduction: Introduction, at now: Duration) -> [Action] {
        guard let deadline, deadline <= now else { return [] }
        state = .trying
        return [.report(.connecting), .connect(channel, introduction)]
    }

    /// CONNACK 0 has come.
    mutating func connected() {
        state = .up
        backOff.reset()
    }

    /// There is no connection any more.
    mutating func lost(_ reason: String, at moment: Moment) -> [Action] {
        let until = moment.now + backOff.next(moment.chance)
        state = .idle(until: until)
        return [.report(.waiting(reason, until: until))]
    }

    /// Gives a connection up that is of no use.
    mutating func drop(_ reason: String, at moment: Moment) -> [Action] {
        [.disconnect(channel)] + lost(reason, at: moment)
    }

    /// Does not wait any longer.
    mutating func hurry() { if case .idle = state { state = .idle(until: .zero) } }

    /// Does nothing from now on.
    mutating func stop() { state = .stopped }
}
