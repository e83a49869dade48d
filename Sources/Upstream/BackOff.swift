/// How long to wait between tries: twice as long each time from 1 s to 5 min, and never as long as everybody else.
public struct BackOff: Sendable {
    private static let longest = 300.0
    private var ceiling = 1.0

    /// Begins with the shortest wait.
    public init() {}

    /// The next wait: between half the ceiling and the ceiling, at least one second.
    ///
    /// - Parameter chance: a random number from 0 up to 1.
    public mutating func next(_ chance: Double) -> Duration {
        let wait = max(1, ceiling / 2 + ceiling / 2 * chance)
        ceiling = min(ceiling * 2, Self.longest)
        return .milliseconds(Int(wait * 1000))
    }

    /// Begins anew, after a CONNACK 0.
    public mutating func reset() { ceiling = 1 }
}
