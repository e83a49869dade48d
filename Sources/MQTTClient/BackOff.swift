/// How long to wait between tries: twice as long each time up to 30 s, and never as long as everybody else.
struct BackOff {
    private static let longest = 30.0
    private var ceiling = 2.0

    /// The next wait: between half the ceiling and the ceiling, at least one second.
    mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
        let wait = Double.random(in: (ceiling / 2)...ceiling, using: &random)
        ceiling = min(ceiling * 2, Self.longest)
        return .milliseconds(Int(wait * 1000))
    }

    /// Begins anew, after a CONNACK 0.
    mutating func reset() { ceiling = 2 }
}
