internal import EventLoop

/// How long to wait between tries: twice as long each time up to a limit, and never as long as everybody else.
struct BackOff {
    private let longest: Double
    private var ceiling = 2.0

    init(longest: Duration) { self.longest = Double(longest.milliseconds) / 1000 }

    /// The next wait: between half the ceiling and the ceiling, at least one second.
    mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
        let wait = Double.random(in: (ceiling / 2)...ceiling, using: &random)
        ceiling = min(ceiling * 2, longest)
        return .milliseconds(Int(wait * 1000))
    }

    /// Begins anew, after a CONNACK 0.
    mutating func reset() { ceiling = 2 }
}
