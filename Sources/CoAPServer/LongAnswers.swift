internal import CoAPMessage

/// A response as it goes into one message: all of it, or one block.
struct Reply {
    var code: CoAPCode
    var contentFormat: UInt16?
    var payload: [UInt8] = []
    var maxAge: UInt32?
    /// Echoed to the last block of a request's body.
    var block1: BlockOption?
    var block2: BlockOption?
    /// Tells the blocks of one answer from those of another (RFC 7959 section 2.4).
    var entityTag: UInt32?
    /// The largest body that is taken, with 4.13.
    var size1: UInt32?
    /// The size of the whole body, with its first block.
    var size2: UInt32?

    init(_ code: CoAPCode, block1: BlockOption? = nil) {
        self.code = code
        self.block1 = block1
    }
}

/// Cuts answers into blocks (Block2, RFC 7959), and keeps the long ones until their last block was fetched.
struct LongAnswers {
    typealias Key = TransferTable<Answer>.Key

    /// A long answer.
    struct Answer {
        let response: CoAPResponse
        let entityTag: UInt32
    }

    /// What a request for a later block leads to.
    enum Slice {
        case reply(Reply)
        /// There is no answer of which it could be a part (4.08).
        case unknown
        /// The answer ends before the block (4.02).
        case beyondEnd
    }

    private var table = TransferTable<Answer>(capacity: 64, share: 4, patience: .seconds(60))
    private var entityTag: UInt32 = 0

    /// The first or only message of an answer.
    ///
    /// - Parameters:
    ///   - response: the answer.
    ///   - asked: the Block2 option of the request, if it had one; blocks are no larger than it says.
    ///   - key: who may fetch the rest.
    ///   - now: the time.
    mutating func first(_ response: CoAPResponse, asked: BlockOption?, for key: Key, at now: Duration) -> Reply {
        let exponent = asked?.exponent ?? BlockOption.largest
        let block = BlockOption(number: 0, more: false, exponent: exponent)
        guard response.body.count > block.size else {
            var reply = Reply(whole: response)
            if asked != nil { reply.block2 = block }
            return reply
        }
        entityTag &+= 1
        let answer = Answer(response: response, entityTag: entityTag)
        table.insert(answer, for: key, at: now)
        var reply = Reply(answer, from: 0, block)
        reply.size2 = UInt32(clamping: response.body.count)
        return reply
    }

    /// A later block of the last long answer to this peer.
    mutating func slice(_ block: BlockOption, for key: Key, at now: Duration) -> Slice {
        guard let answer = table.update(key, at: now, { $0 }) else { return .unknown }
        guard block.offset < answer.response.body.count else { return .beyondEnd }
        return .reply(Reply(answer, from: block.offset, block))
    }
}

extension Reply {
    fileprivate init(whole response: CoAPResponse) {
        self.init(response.code)
        contentFormat = response.contentFormat
        payload = response.body
        maxAge = response.maxAge
    }

    /// The block of an answer that begins at an offset within it.
    fileprivate init(_ answer: LongAnswers.Answer, from offset: Int, _ block: BlockOption) {
        let body = answer.response.body
        let end = min(offset + block.size, body.count)
        self.init(answer.response.code)
        contentFormat = answer.response.contentFormat
        payload = Array(body[offset..<end])
        block2 = BlockOption(number: block.number, more: end < body.count, exponent: block.exponent)
        entityTag = answer.entityTag
    }
}
