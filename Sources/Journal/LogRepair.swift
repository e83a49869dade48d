internal import EventLoop
internal import Glibc
internal import JSON

extension Log {
    /// What a repair did.
    public struct Repaired: Sendable, Hashable {
        /// The path of the log.
        public let file: String
        /// Where the damaged log is kept; nil when there was none.
        public let kept: String?
        /// How many records the new one holds.
        public let records: UInt64
        /// How many lines were left out.
        public let setAside: Int
        /// Whether it ends before what another log proves to have been on disk.
        public let isShort: Bool
    }

    /// Writes `DIRECTORY/NAME.jsonl` anew from all of its records that are whole, in the order of their numbers.
    ///
    /// The caller holds the directory's lock. The old log stays as `NAME.jsonl.damaged-N`. Of one that is not there the new
    /// one has the head only. Numbers that were ever used are not used again. A power cut at any point leaves the old log or
    /// the new one.
    ///
    /// - Parameters:
    ///   - directory: the state directory.
    ///   - name: the log's name, such as `devices`.
    ///   - proven: the number up to which another log proves that there were records.
    ///   - fault: why a whole record must not stay; nil when it may.
    ///   - setAside: takes each line that is left out.
    ///   - progress: takes how many bytes of how many are done.
    /// - Throws: `.newer` when a newer nearhub wrote it, `.io`: then the log is as it was. `.unsettled` when the new one is
    ///   in its place, and a power cut may bring the damaged one back.
    public static func repair(
        directory: String, name: String, proven: UInt64 = 0, fault: (Record) -> String?, setAside: (SetAside) -> Void,
        progress: (UInt64, UInt64) -> Void
    ) throws(JournalError) -> Repaired {
        let path = "\(directory)/\(name).jsonl"
        let isThere = unsafe access(path, F_OK) == 0
        let (folder, file, size) = try onLog(path) { () throws(SystemError) in
            // One that is not there begins empty, which is as much of a loss until the new one has its place.
            let file = try LogFile(path, isThere ? O_RDONLY : O_RDONLY | O_CREAT)
            let folder = try LogFile("\(directory)/.", O_RDONLY | O_DIRECTORY)
            // It is kept beside the new one, and whoever looks at it should see what was there.
            try file.sync()
            // What the kernel holds of a file that a sync failed on may not be what the disk holds.
            file.dropCache()
            return (folder, file, try file.size())
        }
        var survey = Survey(name: name)
        var reader = SegmentReader(file, to: size)
        var asides = 0
        func leaveOut(_ segment: Segment, _ why: String) throws(JournalError) {
            asides += 1
            setAside(try onLog(path) { () throws(SystemError) in try SetAside(segment, of: file, why: why) })
        }
        while let segment = try reader.next() {
            if let why = try survey.take(segment, path, fault) { try leaveOut(segment, why) }
            progress((segment.offset + segment.length) / 2, size)
        }
        for segment in survey.sort() { try leaveOut(segment, "its number stands on an earlier line too") }
        let kept = isThere ? freePath("\(path).damaged-") : nil
        var rewrite = try onLog(path) { () throws(SystemError) in
            let id = if let known = survey.id { known } else { try LogHead.newID() }
            return try Rewrite(path, name: name, id: id, generation: survey.generation + 1)
        }
        do throws(SystemError) {
            let upto = max(survey.upto, proven)
            try survey.copy(of: file, to: &rewrite, upto: upto) { progress(size / 2 + min($0, size) / 2, size) }
        } catch {
            rewrite.abandon()
            throw JournalError(.io(error), file: path)
        }
        let records = rewrite.records
        try rewrite.replace(in: folder, keeping: kept)
        return Repaired(file: path, kept: kept, records: records, setAside: asides, isShort: survey.upto < proven)
    }

    /// Gives the log another name, `NAME.jsonl.damaged-N`, so that the next start begins a new one; nothing if it is not there.
    ///
    /// - Returns: its new path; nil when it was not there.
    /// - Throws: `.io`: the log has the one name or the other.
    public static func setAside(directory: String, name: String) throws(JournalError) -> String? {
        let path = "\(directory)/\(name).jsonl"
        guard unsafe access(path, F_OK) == 0 else { return nil }
        let kept = freePath("\(path).damaged-")
        try onLog(path) { () throws(SystemError) in
            try system("rename", path) { unsafe rename(path, kept) }
            try LogFile("\(directory)/.", O_RDONLY | O_DIRECTORY).syncAll()
        }
        return kept
    }

    /// The first path of this beginning and a number at which there is nothing.
    private static func freePath(_ beginning: String) -> String {
        var number = 0
        while unsafe access("\(beginning)\(number)", F_OK) == 0 { number += 1 }
        return "\(beginning)\(number)"
    }
}

/// What of a log, whatever its state, may go into a new one.
private struct Survey {
    let name: String
    private(set) var records: [Place] = []
    private(set) var id: [UInt8]?
    private(set) var generation: UInt64 = 1
    private(set) var upto: UInt64 = 0
    private(set) var settled: UInt64 = 0

    init(name: String) { self.name = name }

    /// Takes a segment; says why it is to be left out, if it is.
    mutating func take(
        _ segment: Segment, _ path: String, _ fault: (Record) -> String?
    ) throws(JournalError) -> String? {
        upto = max(upto, segment.line?.durable ?? 0)
        if let what = segment.newer { throw JournalError(.newer(what: what), file: path) }
        switch segment.line {
        case nil, .newerHead?, .unknown?: return segment.fault
        case .head(let log, let id, let generation)?:
            guard log == Text(name) else { return "the head of another log" }
            if self.id == nil { self.id = id.utf8 }
            self.generation = max(self.generation, generation)
        case .sync(_, let settled)?: self.settled = max(self.settled, settled)
        case .seal?: break
        case .record(let seq, let durable, let operation, let json)?:
            upto = max(upto, seq)
            let record = Record(seq: seq, durable: durable, operation: operation, offset: segment.offset, json: json)
            if let why = fault(record) { return why }
            // Without what it says: a log may hold a million.
            let bare = Segment(offset: segment.offset, length: segment.length, number: segment.number, line: nil)
            records.append(Place(seq: seq, segment: bare))
        }
        return nil
    }

    /// Copies what may go into the new log and ends the gaps in its numbers, on disk.
    func copy(
        of file: LogFile, to rewrite: inout Rewrite, upto: UInt64, _ progress: (UInt64) -> Void
    ) throws(SystemError) {
        for place in records {
            guard try rewrite.copy(place.segment.range, of: file) != nil else {
                throw SystemError("pread", file.path, code: EIO)
            }
            try rewrite.flushIfFull()
            progress(rewrite.size)
        }
        rewrite.seal(upto: upto, settled: min(settled, upto))
        try rewrite.sync()
    }

    /// Brings the records into the order of their numbers; gives those whose number was there before.
    mutating func sort() -> [Segment] {
        records.sort { ($0.seq, $0.segment.offset) < ($1.seq, $1.segment.offset) }
        var doubles: [Segment] = []
        var last: UInt64 = 0
        records.removeAll { place in
            guard place.seq == last else { last = place.seq; return false }
            doubles.append(place.segment)
            return true
        }
        return doubles
    }
}

/// Where a whole record is.
private struct Place {
    let seq: UInt64
    let segment: Segment
}
