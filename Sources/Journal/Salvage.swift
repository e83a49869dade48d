internal import EventLoop
internal import JSON

/// Goes through a damaged log for its whole lines, and leaves the others where they are.
///
/// What lies behind the last whole line is an unfinished batch, as ever; if the disk does not give it, nobody knows, and
/// the log is refused. Numbers that any whole line tells of are used. Numbers that nobody has are lines that are lost.
struct Salvage {
    private let path: String
    private let name: String
    private var end = Walk.End()
    private var durable: UInt64 = 0
    private var hasHead = false
    private var firstUnproven: UInt64?
    /// Whether numbers rise by one: in a log that compaction wrote, only behind its seal.
    private var isSealed = false
    /// Lines that are skipped since the last record.
    private var pending: [SetAside] = []
    /// Whether any line was skipped, which may have been the seal.
    private var hasSkipped = false

    /// Goes through a file.
    ///
    /// - Parameters:
    ///   - proven: the number up to which another log proves that records were on disk.
    ///   - watch: takes how far it is, in each of two passes.
    ///   - replay: takes each whole record whose number is above all before it.
    ///   - skip: takes every other line, and those of which `replay` throws `.damaged`.
    /// - Returns: where the log ends; nil when there is no whole line in it.
    /// - Throws: `.newer`, `.io`, and what `watch` and `replay` throw.
    static func through(
        _ file: LogFile, size: UInt64, name: String, proven: UInt64, watch: Log.ReadingWatch,
        replay: (Record) throws(JournalError) -> Void, skip: (SetAside) -> Void
    ) throws(JournalError) -> Walk.End? {
        var salvage = Salvage(path: file.path, name: name)
        salvage.durable = proven
        var lastWhole: UInt64 = 0
        var survey = SegmentReader(file, to: size)
        var unreadable: Segment?
        while let segment = try survey.next() {
            try survey.tell(watch)
            guard let line = segment.line else {
                if segment.unreadable != nil { unreadable = segment }
                continue
            }
            lastWhole = segment.offset + segment.length
            salvage.durable = max(salvage.durable, line.durable ?? 0)
        }
        guard lastWhole > 0 else { return nil }
        if let last = unreadable, last.offset >= lastWhole {
            let why = "\(last.fault), and nothing behind it tells what it was"
            throw JournalError(.damaged(offset: last.offset, line: last.number, why: why), file: file.path)
        }
        var reader = SegmentReader(file, to: lastWhole)
        while let segment = try reader.next() {
            try reader.tell(watch)
            let before = salvage.end.seq
            let why = try salvage.take(segment, replay)
            if let why {
                let line = try onLog(file.path) { () throws(SystemError) in try SetAside(segment, of: file, why: why) }
                salvage.pend(line, skip)
            } else if case .record(let seq, _, _, _)? = segment.line, salvage.isSealed {
                salvage.settle(before, seq - 1, file, segment.offset, segment.number, skip)
            } else if case .seal(_, let lines)? = segment.line {
                salvage.seal(lines, file, segment, skip)
            }
        }
        if salvage.hasHead, !salvage.isSealed, !salvage.hasSkipped {
            let why = "the seal of a log that was written anew is not there"
            throw JournalError(.damaged(offset: lastWhole, line: nil, why: why), file: file.path)
        }
        if salvage.isSealed, salvage.durable > salvage.end.seq {
            salvage.settle(salvage.end.seq, salvage.durable, file, lastWhole, nil, skip)
        }
        salvage.giveOut(skip)
        salvage.end.bytes = lastWhole
        salvage.end.unproven = salvage.firstUnproven ?? lastWhole
        salvage.end.seq = max(salvage.end.seq, salvage.durable)
        return salvage.end
    }

    /// Keeps a skipped line until the next record shows how many are lost; not more than a few.
    private mutating func pend(_ line: SetAside, _ skip: (SetAside) -> Void) {
        hasSkipped = true
        if pending.count < 16 { return pending.append(line) }
        var line = line
        line.isAttributed = false
        skip(line)
    }

    private mutating func giveOut(_ skip: (SetAside) -> Void) {
        for line in pending { skip(line) }
        pending = []
    }

    /// Gives out what was skipped behind one record and before the next, of which `last` is the number before.
    ///
    /// Numbers rise by one, so it is known how many records were there: if none, what was skipped hides nothing.
    private mutating func settle(
        _ before: UInt64, _ last: UInt64, _ file: LogFile, _ offset: UInt64, _ line: UInt64?, _ skip: (SetAside) -> Void
    ) {
        if last == before { for index in pending.indices { pending[index].isAttributed = true } }
        if last - before > knownRecords, pending.allSatisfy(\.isAttributed) {
            let line = line ?? (pending.last.map { $0.line + 1 } ?? 1)
            let what = "records \(before + 1) to \(last)"
            pending.append(SetAside(missing: what, seq: before + 1, at: offset, line: line, of: file))
        }
        giveOut(skip)
    }

    /// Takes the seal, which says how many records are before it.
    private mutating func seal(_ lines: UInt64, _ file: LogFile, _ segment: Segment, _ skip: (SetAside) -> Void) {
        isSealed = true
        let missing = lines - min(lines, UInt64(end.records))
        if missing > knownRecords, pending.allSatisfy(\.isAttributed) {
            let what = "\(missing) of \(lines) records before the seal"
            pending.append(SetAside(missing: what, at: segment.offset, line: segment.number, of: file))
        }
        giveOut(skip)
    }

    /// Records that were skipped and are known to be of one device or profile each.
    private var knownRecords: UInt64 { UInt64(pending.count { $0.isAttributed && $0.id != nil }) }

    private init(path: String, name: String) {
        self.path = path
        self.name = name
    }

    /// Takes a segment; says why it is skipped, if it is.
    private mutating func take(
        _ segment: Segment, _ replay: (Record) throws(JournalError) -> Void
    ) throws(JournalError) -> String? {
        if let what = segment.newer { throw JournalError(.newer(what: what), file: path) }
        switch segment.line {
        case nil, .newerHead?, .unknown?: return segment.fault
        case .head(let log, _, let generation)?:
            guard log == Text(name), !hasHead else { return "a head that does not belong here" }
            hasHead = true
            isSealed = generation == 1
        case .seal(let upto, _)?: end.seq = max(end.seq, upto)
        case .sync(_, let settled)?: end.settled = max(end.settled, settled)
        case .record(let seq, let durable, let operation, let json)?:
            guard seq > end.seq else { return "its number is not above \(end.seq)" }
            let record = Record(seq: seq, durable: durable, operation: operation, offset: segment.offset, json: json)
            do { try replay(record) } catch {
                guard case .damaged(_, _, let why) = error.kind else { throw error }
                return why
            }
            end.seq = seq
            end.records += 1
            if seq > self.durable, firstUnproven == nil { firstUnproven = segment.offset }
        }
        return nil
    }
}
