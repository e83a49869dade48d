/// Remembers requests and their answers, so that one that is sent again is answered again and not run twice
/// (RFC 7252 section 4.5, protocol.md D10).
///
/// Pure: the clock is a parameter. The oldest give way: by number, by the bytes of their answers, by age.
struct RecentRequests<Answer> {
    /// What tells requests apart.
    struct Key: Hashable {
        let peer: Peer
        let messageID: UInt16
    }

    /// Names a remembered request until it is answered.
    struct Ticket {
        fileprivate let serial: UInt64
    }

    /// What is known of a request.
    enum Memory {
        /// Nothing; from now on it is remembered.
        case new(Ticket)
        /// It is being worked on since then.
        case waiting(since: Duration)
        /// It was answered.
        case answered(Answer)
    }

    private struct Slot {
        let key: Key
        let fingerprint: Int
        let arrived: Duration
        var answer: Answer?
        var bytes = 0
    }

    private let capacity: Int
    private let maximumBytes: Int
    private let lifetime: Duration
    /// A ring: the request with serial number n has its place at n modulo `capacity`.
    private var slots: [Slot?] = []
    private var serials: [Key: UInt64] = [:]
    private var oldest: UInt64 = 0
    private var next: UInt64 = 0
    private var bytes = 0

    /// An empty memory.
    ///
    /// - Parameters:
    ///   - capacity: the most requests.
    ///   - maximumBytes: the most bytes of answers.
    ///   - lifetime: how long a request may be sent again; 247 s by RFC 7252 section 4.8.2.
    init(capacity: Int, maximumBytes: Int, lifetime: Duration = .seconds(247)) {
        self.capacity = capacity
        self.maximumBytes = maximumBytes
        self.lifetime = lifetime
    }

    /// Requests that are remembered.
    var count: Int { Int(next - oldest) }

    /// Looks a request up, and remembers it if it is new.
    ///
    /// - Parameters:
    ///   - key: peer and message ID.
    ///   - fingerprint: of token and contents: a device that begins to count anew after a restart sends other ones.
    ///   - now: the time.
    mutating func recall(_ key: Key, fingerprint: Int, at now: Duration) -> Memory {
        while oldest < next, let slot = slots[place(oldest)], now - slot.arrived >= lifetime { forgetOldest() }
        if let serial = serials[key], let slot = slots[place(serial)], slot.fingerprint == fingerprint {
            return slot.answer.map { .answered($0) } ?? .waiting(since: slot.arrived)
        }
        if count == capacity { forgetOldest() }
        let slot = Slot(key: key, fingerprint: fingerprint, arrived: now)
        if slots.count < capacity { slots.append(slot) } else { slots[place(next)] = slot }
        serials[key] = next
        next += 1
        return .new(Ticket(serial: next - 1))
    }

    /// Keeps the answer to a request, if it is still remembered.
    mutating func answered(_ ticket: Ticket, _ answer: Answer, bytes size: Int) {
        guard ticket.serial >= oldest else { return }
        slots[place(ticket.serial)]?.answer = answer
        slots[place(ticket.serial)]?.bytes = size
        bytes += size
        while bytes > maximumBytes, oldest < next { forgetOldest() }
    }

    private func place(_ serial: UInt64) -> Int { Int(serial % UInt64(capacity)) }

    private mutating func forgetOldest() {
        if let slot = slots[place(oldest)] {
            bytes -= slot.bytes
            if serials[slot.key] == oldest { serials[slot.key] = nil }
        }
        slots[place(oldest)] = nil
        oldest += 1
    }
}
