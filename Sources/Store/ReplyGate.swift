/// Holds replies back until what they rest on is on disk.
///
/// Every reply passes it, also that of a request that changed nothing: what it saw may still be on its way.
struct ReplyGate {
    private struct Waiter {
        let position: UInt64
        let reply: () -> Void
    }

    private var waiters: [Waiter] = []
    private var first = 0

    /// Keeps a reply until `release` reaches the position; positions never fall.
    mutating func hold(until position: UInt64, _ reply: @escaping () -> Void) {
        waiters.append(Waiter(position: position, reply: reply))
    }

    /// Hands out the next reply that may leave.
    mutating func next(through position: UInt64) -> (() -> Void)? {
        guard first < waiters.count, waiters[first].position <= position else {
            waiters.removeSubrange(..<first)
            first = 0
            return nil
        }
        defer { first += 1 }
        return waiters[first].reply
    }
}
