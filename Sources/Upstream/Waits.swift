internal import JSON

/// Devices that wait a while, each until a time of its own.
struct Waits {
    /// The soonest first.
    private var order: [(until: Duration, device: Text)] = []
    /// The wait that counts, of those that a device has in `order`.
    private var ends: [Text: Duration] = [:]

    /// When the first wait is over, or sooner; nil when nobody waits.
    var first: Duration? { order.first?.until }

    /// Whether the device waits.
    func contains(_ device: Text) -> Bool { ends[device] != nil }

    /// Has a device wait until that time, and no other.
    mutating func add(_ device: Text, until end: Duration) {
        ends[device] = end
        let index = order.lastIndex { $0.until <= end }.map { $0 + 1 } ?? 0
        order.insert((end, device), at: index)
    }

    /// Ends the wait of a device.
    mutating func end(_ device: Text) { ends[device] = nil }

    /// Has every wait be over.
    mutating func endAll() {
        // Those that do not count any more go: they would stand before the others.
        order = order.filter { ends[$0.device] == $0.until }.map { (.zero, $0.device) }
        for (_, device) in order { ends[device] = .zero }
    }

    /// A device whose wait is over, and ends it; nil when there is none.
    mutating func next(at now: Duration) -> Text? {
        while let (until, device) = order.first, until <= now {
            order.removeFirst()
            guard ends[device] == until else { continue }
            ends[device] = nil
            return device
        }
        return nil
    }
}
