/// How long to wait between tries: twice as long each time from 1 s to 5 min, and never as long as everybody else.
public struct BackOff: Sendable {
    private static let longest = 300.0
    private static let first = 2.0
    private var ceiling = first

    /// Begins with the shortest wait, which is drawn too: what fails everywhere at once must not come back at once.
    public init() {}

    /// The next wait: between half the ceiling and the ceiling, which is 2 s at first.
    ///
    /// - Parameter chance: a random number from 0 up to 1.
    public mutating func next(_ chance: Double) -> Duration {
        let wait = ceiling / 2 + ceiling / 2 * chance
        ceiling = min(ceiling * 2, Self.longest)
        return .milliseconds(Int(wait * 1000))
    }

    /// Begins anew, after a connection that was of use.
    public mutating func reset() { ceiling = Self.first }
}
