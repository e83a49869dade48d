internal import Journal

/// Holds replies back until what they rest on is on disk.
///
/// Every reply passes it, also that of a request that changed nothing: what it saw may still be on its way.
struct ReplyGate {
    /// Learns nil when the reply may leave, or why it may not.
    typealias Reply = (JournalError?) -> Void

    private struct Waiter {
        let position: UInt64
        let reply: Reply
    }

    private var waiters: [Waiter] = []
    private var first = 0

    /// Keeps a reply until `release` reaches the position; positions fall only when all waiters are taken.
    mutating func hold(until position: UInt64, _ reply: @escaping Reply) {
        waiters.append(Waiter(position: position, reply: reply))
    }

    /// Hands out the next reply that may leave.
    mutating func next(through position: UInt64) -> Reply? {
        guard first < waiters.count, waiters[first].position <= position else {
            waiters.removeSubrange(..<first)
            first = 0
            return nil
        }
        defer { first += 1 }
        return waiters[first].reply
    }

    /// Hands out all that wait, since what they rest on has been taken back.
    mutating func takeAll() -> [Reply] {
        defer {
            waiters = []
            first = 0
        }
        return waiters[first...].map(\.reply)
    }
}
