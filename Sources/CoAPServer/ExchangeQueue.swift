/// Requests in the order in which they came, without those that were answered: the first is the next one to be late.
struct ExchangeQueue {
    private var exchanges: [CoAPExchange] = []
    private var head = 0

    /// The one that has waited for longest.
    var first: CoAPExchange? {
        mutating get {
            while head < exchanges.count, exchanges[head].isAnswered { head += 1 }
            if head == exchanges.count { removeAll() }
            return head < exchanges.count ? exchanges[head] : nil
        }
    }

    mutating func append(_ exchange: CoAPExchange) {
        if head > 1024 {
            exchanges.removeSubrange(..<head)
            head = 0
        }
        exchanges.append(exchange)
    }

    mutating func removeFirst() {
        head += 1
    }

    mutating func removeAll() {
        exchanges.removeAll(keepingCapacity: true)
        head = 0
    }
}

/// Bounds the answers that libcoap sends again until they are acknowledged, to peers that may not exist.
///
/// Each takes up to 93 s (MAX_TRANSMIT_WAIT, RFC 7252 section 4.8.2); those above the bound are sent once only.
struct SeparateAnswers {
    static let maximum = 1024
    private static let span = Duration.seconds(93)

    private var began = Duration.zero
    private var count = 0

    /// How the next one is to be sent.
    mutating func next(at now: Duration) -> Carrier {
        if now - began >= Self.span { (began, count) = (now, 0) }
        count += 1
        return count <= Self.maximum ? .confirmable : .nonConfirmable
    }
}
