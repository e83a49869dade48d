internal import EventLoop
internal import JSON

/// Goes through a damaged log for its whole lines, and leaves the others where they are.
///
/// What lies behind the last whole line is an unfinished batch, as ever. Numbers that any whole line tells of are used.
struct Salvage {
    private let path: String
    private let name: String
    private var end = Walk.End()
    private var durable: UInt64 = 0
    private var hasHead = false
    private var firstUnproven: UInt64?

    /// Goes through a file.
    ///
    /// - Parameters:
    ///   - proven: the number up to which another log proves that records were on disk.
    ///   - replay: takes each whole record whose number is above all before it.
    ///   - skip: takes every other line, and those of which `replay` throws `.damaged`.
    /// - Returns: where the log ends; nil when there is no whole line in it.
    /// - Throws: `.newer`, `.io`, and what `replay` throws.
    static func through(
        _ file: LogFile, size: UInt64, name: String, proven: UInt64, replay: (Record) throws(JournalError) -> Void,
        skip: (SetAside) -> Void
    ) throws(JournalError) -> Walk.End? {
        var salvage = Salvage(path: file.path, name: name)
        salvage.durable = proven
        var lastWhole: UInt64 = 0
        var survey = SegmentReader(file, to: size)
        while let segment = try survey.next() {
            guard let line = segment.line else { continue }
            lastWhole = segment.offset + segment.length
            salvage.durable = max(salvage.durable, line.durable ?? 0)
        }
        guard lastWhole > 0 else { return nil }
        var reader = SegmentReader(file, to: lastWhole)
        while let segment = try reader.next() {
            guard let why = try salvage.take(segment, replay) else { continue }
            skip(try onLog(file.path) { () throws(SystemError) in try SetAside(segment, of: file, why: why) })
        }
        salvage.end.bytes = lastWhole
        salvage.end.unproven = salvage.firstUnproven ?? lastWhole
        salvage.end.seq = max(salvage.end.seq, salvage.durable)
        return salvage.end
    }

    private init(path: String, name: String) {
        self.path = path
        self.name = name
    }

    /// Takes a segment; says why it is skipped, if it is.
    private mutating func take(
        _ segment: Segment, _ replay: (Record) throws(JournalError) -> Void
    ) throws(JournalError) -> String? {
        switch segment.line {
        case nil: return "no whole line"
        case .newerHead?, .unknown?:
            let what = "line \(segment.number) at byte \(segment.offset) is of a kind that this one does not know"
            throw JournalError(.newer(what: what), file: path)
        case .head(let log, _, _)?:
            guard log == Text(name), !hasHead else { return "a head that does not belong here" }
            hasHead = true
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
