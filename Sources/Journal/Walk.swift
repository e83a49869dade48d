internal import JSON

/// Goes through a log from its head and decides what of it is good.
///
/// The first fault, a segment that is no whole line or a number out of order, ends what is good. Whether it is an
/// unfinished batch or damage is known only at the end: it is damage if it lies before a line that some whole line,
/// wherever it is, proves to have been on disk. So the walk looks at everything, also behind the fault.
struct Walk {
    /// Where the good part of a log ends.
    struct End {
        /// Its length.
        var bytes: UInt64 = 0
        /// Where the lines begin that nothing proves to be on disk; `bytes` if there are none.
        var unproven: UInt64 = 0
        /// The number of the last record.
        var seq: UInt64 = 0
        /// How many records it has.
        var records = 0
        /// The highest `settled` of its marks.
        var settled: UInt64 = 0
    }

    private struct Fault {
        let offset: UInt64
        let line: UInt64
        let why: String
    }

    private let path: String
    private let name: String
    private var end = End()
    private var lastLine: UInt64 = 0
    private var generation: UInt64 = 0
    private var isSealed = false
    /// Highest number that any whole line proves; nil before the first such line.
    private var durable: UInt64?
    /// The number up to which another log says that it was on disk.
    private var witnessed: UInt64 = 0
    /// Good records above `durable`.
    private var unproven: [(seq: UInt64, offset: UInt64)] = []
    private var fault: Fault?
    /// The first bytes that the disk does not give: never an unfinished batch, since what they were is not known.
    private var unreadable: Fault?
    /// The lowest number of the whole records at and behind the fault.
    private var lowestBehind = UInt64.max
    /// Whether a head or seal is at or behind the fault: these are on disk before anything else is written.
    private var hasProofBehind = false

    /// Walks through a file, handing each good record to `replay`; up to `proven` another log says that it was on disk.
    static func through(
        _ file: LogFile, size: UInt64, name: String, proven: UInt64 = 0, forgets: Bool = false, watch: Log.ReadingWatch,
        replay: (Record) throws(JournalError) -> Void
    ) throws(JournalError) -> End {
        var walk = Walk(path: file.path, name: name)
        walk.witnessed = proven
        if proven > 0 { walk.durable = proven }
        var reader = SegmentReader(file, to: size, forgets: forgets)
        while let segment = try reader.next() {
            try reader.tell(watch)
            if let record = try walk.take(segment) { try replay(record) }
        }
        return try walk.finish(size)
    }

    private init(path: String, name: String) {
        self.path = path
        self.name = name
    }

    /// Takes the next segment; gives its record if it is a good one.
    private mutating func take(_ segment: Segment) throws(JournalError) -> Record? {
        if let what = segment.newer { throw JournalError(.newer(what: what), file: path) }
        if let proven = segment.line?.durable { prove(proven) }
        if segment.unreadable != nil, unreadable == nil {
            unreadable = Fault(offset: segment.offset, line: segment.number, why: segment.fault)
        }
        if fault == nil {
            guard let why = segment.unreadable == nil ? check(segment.line) : segment.fault else {
                return accept(segment)
            }
            fault = Fault(offset: segment.offset, line: segment.number, why: why)
        }
        switch segment.line {
        case .record(let seq, _, _, _): lowestBehind = min(lowestBehind, seq)
        case .head, .seal: hasProofBehind = true
        default: break
        }
        return nil
    }

    private mutating func prove(_ seq: UInt64) {
        guard seq >= durable ?? 0 else { return }
        durable = seq
        if let last = unproven.last, last.seq <= seq { unproven.removeAll(keepingCapacity: true) }
    }

    /// Why the line must not stand here; nil when it may.
    private func check(_ line: Line?) -> String? {
        guard let line else { return "no whole line" }
        if generation == 0 {
            guard case .head(let log, _, _) = line else { return "not the head of a log" }
            return log == Text(name) ? nil : "the head of another log"
        }
        switch line {
        case .record(let seq, _, _, _):
            let isNext = isSealed ? seq == end.seq + 1 : seq > end.seq
            return isNext ? nil : "seq \(seq) follows \(end.seq)"
        case .seal(let upto, let lines):
            if isSealed { return "a second seal" }
            if upto < end.seq { return "a seal up to \(upto) follows seq \(end.seq)" }
            return lines == UInt64(end.records) ? nil : "a seal over \(lines) records follows \(end.records)"
        case .head: return "a second head"
        case .sync, .newerHead, .unknown: return nil
        }
    }

    private mutating func accept(_ segment: Segment) -> Record? {
        end.bytes = segment.offset + segment.length
        lastLine = segment.number
        switch segment.line {
        case .record(let seq, let durable, let operation, let json)?:
            end.seq = seq
            end.records += 1
            if seq > self.durable ?? 0 { unproven.append((seq, segment.offset)) }
            return Record(seq: seq, durable: durable, operation: operation, offset: segment.offset, json: json)
        case .head(_, _, let generation)?:
            self.generation = generation
            isSealed = generation == 1
        case .seal(let upto, _)?:
            end.seq = upto
            isSealed = true
        case .sync(_, let settled)?: end.settled = max(end.settled, settled)
        default: break
        }
        return nil
    }

    private func finish(_ size: UInt64) throws(JournalError) -> End {
        let proven = durable ?? 0
        let proof = proven > 0 ? "though records up to seq \(proven) were on disk" : "though more follows"
        if generation == 0 {
            if proven > 0, size == 0 { throw damaged(Fault(offset: 0, line: 1, why: "it is empty, \(proof)")) }
            guard let fault else { return End() }
            // The head is on disk before anything else is written: if there was only it, nobody was promised anything.
            let isTornHead = durable == nil && lastLine == 0 && size <= Line.newHeadLength(log: name)
            guard isTornHead, fault.why == "no whole line" else { throw damaged(fault) }
            return End()
        }
        let isShort = end.seq < proven
        if let fault, hasProofBehind || lowestBehind <= proven || isShort {
            throw damaged(Fault(offset: fault.offset, line: fault.line, why: "\(fault.why), \(proof)"))
        }
        if let unreadable { throw damaged(unreadable) }
        guard !isShort, isSealed else {
            let hint =
                proven == witnessed
                ? "; a copy made while the hub ran may be so, then nearhub log repair keeps all that is in it" : ""
            let why = isShort ? "the log ends at seq \(end.seq), \(proof)\(hint)" : "no seal ends the gaps"
            throw damaged(Fault(offset: end.bytes, line: lastLine + 1, why: why))
        }
        var end = end
        end.unproven = unproven.first { $0.seq > proven }?.offset ?? end.bytes
        return end
    }

    private func damaged(_ fault: Fault) -> JournalError {
        JournalError(.damaged(offset: fault.offset, line: fault.line, why: fault.why), file: path)
    }
}
