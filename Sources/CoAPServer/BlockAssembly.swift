/// Puts request bodies together from their blocks (Block1, RFC 7959 section 2.5), each in order and only in order.
///
/// Pure: the clock is a parameter. libcoap's own assembly has no bound on what strangers may leave half done, and
/// does not manage bodies without Size1.
struct BlockAssembly {
    /// The largest body.
    static let maximumBody = 65_536

    /// What a block leads to.
    enum Outcome: Equatable {
        /// More blocks are awaited (2.31).
        case continues
        /// The whole body.
        case complete([UInt8])
        /// A block that does not follow what is there (4.08).
        case incomplete
        /// The body is, or says it will be, over the limit (4.13).
        case tooLarge
        /// The payload does not have the size that the option tells (4.00).
        case malformed
    }

    private var table = TransferTable<[UInt8]>(capacity: 64, share: 4, patience: .seconds(30))

    /// Bodies of which a part is there.
    var count: Int { table.count }

    /// Takes a block.
    ///
    /// The size of blocks may change on the way: only where a block begins counts.
    ///
    /// - Parameters:
    ///   - block: the option.
    ///   - payload: the block's bytes.
    ///   - announced: the size of the whole body, if the client tells (Size1).
    ///   - key: whose body it is.
    ///   - now: the time.
    mutating func receive(
        _ block: BlockOption, _ payload: [UInt8], announced: UInt32?, from key: TransferTable<[UInt8]>.Key,
        at now: Duration
    ) -> Outcome {
        guard block.more ? payload.count == block.size : payload.count <= block.size else { return .malformed }
        guard announced ?? 0 <= Self.maximumBody, block.offset <= Self.maximumBody - payload.count else {
            table.remove(key)
            return .tooLarge
        }
        if block.number == 0 {
            table.remove(key)
            if block.more { table.insert(payload, for: key, at: now) }
            return block.more ? .continues : .complete(payload)
        }
        let body = table.update(key, at: now) { body -> [UInt8]? in
            guard body.count == block.offset else { return nil }
            body.append(contentsOf: payload)
            return block.more ? [] : body
        }
        guard case let body?? = body else { return .incomplete }
        if block.more { return .continues }
        table.remove(key)
        return .complete(body)
    }
}
