/// Bounds how many devices are asked for in a second.
struct Pace {
    /// What was not used for that long is not made up for.
    private static let slack = Duration.milliseconds(50)

    private let interval: Duration
    /// When the next one may go.
    private(set) var free = Duration.zero

    init(rate: Double?) { interval = rate.map { .seconds(1 / $0) } ?? .zero }

    func isFree(at now: Duration) -> Bool { free <= now }

    mutating func take(at now: Duration) { free = max(free, now - Self.slack) + interval }
}
