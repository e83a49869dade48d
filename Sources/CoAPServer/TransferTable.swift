/// What goes on in several messages, by peer: bounded in number, in number for each address, and in time.
///
/// Whoever comes when it is full takes the place of the one that has been idle for longest: of the same address if
/// that has its share, of all otherwise. So a flood of beginnings does not cut off what moves on.
struct TransferTable<Value> {
    /// Whose transfer it is: a peer, its Request-Tag (RFC 9175 section 3), and the resource.
    struct Key: Hashable {
        let peer: Peer
        let tag: [UInt8]
        let resource: Int
    }

    private struct Entry {
        let key: Key
        var value: Value
        var touched: Duration
    }

    private let capacity: Int
    private let share: Int
    private let patience: Duration
    private var entries: [Entry] = []

    /// An empty table.
    ///
    /// - Parameters:
    ///   - capacity: the most entries.
    ///   - share: the most entries of one address.
    ///   - patience: how long an entry may stay untouched.
    init(capacity: Int, share: Int, patience: Duration) {
        self.capacity = capacity
        self.share = share
        self.patience = patience
    }

    var count: Int { entries.count }

    /// Changes an entry and notes that it moves; nil when there is none.
    mutating func update<Result>(_ key: Key, at now: Duration, _ body: (inout Value) -> Result) -> Result? {
        expire(now)
        guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
        entries[index].touched = now
        return body(&entries[index].value)
    }

    /// Puts an entry in place of an older one of the same key, or of one that has to give way.
    mutating func insert(_ value: Value, for key: Key, at now: Duration) {
        expire(now)
        remove(key)
        let ofAddress = entries.indices.filter { entries[$0].key.peer.hasAddress(of: key.peer) }
        if ofAddress.count >= share {
            evict(among: ofAddress)
        } else if entries.count >= capacity {
            evict(among: Array(entries.indices))
        }
        entries.append(Entry(key: key, value: value, touched: now))
    }

    mutating func remove(_ key: Key) {
        entries.removeAll { $0.key == key }
    }

    private mutating func expire(_ now: Duration) {
        entries.removeAll { now - $0.touched > patience }
    }

    private mutating func evict(among candidates: [Int]) {
        guard let idle = candidates.min(by: { entries[$0].touched < entries[$1].touched }) else { return }
        entries.remove(at: idle)
    }
}
