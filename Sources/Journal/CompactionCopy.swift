internal import EventLoop
internal import Glibc
internal import JSON

/// The work of a compaction, step by step, whether the log is used meanwhile or not: its guide knows.
struct CompactionCopy<Guide: CompactionGuide> {
    /// How much of the log is read between two questions.
    private static var slice: UInt64 { 1 << 19 }
    /// How much may be left to copy while nothing is written.
    private static var rest: UInt64 { 1 << 16 }
    /// The same when that much is not reached in so many rounds.
    private static var mostRest: UInt64 { 1 << 22 }
    private static var mostRounds: Int { 8 }
    /// What must be free besides the new log.
    private static var reserve: UInt64 { 1 << 20 }

    private struct Lines {
        var candidates: [Log.Candidate] = []
        var segments: [Segment] = []
    }

    /// Bytes that are live, once it is known.
    private(set) var live: UInt64 = 0
    private var hasDead = false
    private let request: CompactionRequest
    private let file: LogFile
    private let guide: Guide
    private var newest: [Text: UInt64] = [:]
    private var head: (id: [UInt8], generation: UInt64)?
    private var settled: UInt64 = 0
    private var addresses = Addresses()

    /// A copy of a log's live lines, of which nothing is done yet.
    init(_ request: CompactionRequest, of file: LogFile, guidedBy guide: Guide) {
        self.request = request
        self.file = file
        self.guide = guide
    }

    /// Does it all.
    ///
    /// - Returns: the new log; nil when that would not be worth while.
    /// - Throws: `.damaged`, `.noRoom`, `.io`, and why it was cancelled; the old log stays. `.unsettled` and the `.io` of a
    ///   sync leave it in doubt what the disk holds. After one of a sync of the new file that file is left, so that the next
    ///   start sees that a compaction was not finished, and waits with the next one.
    mutating func run() throws(JournalError) -> Compaction.Replacement? {
        try survey()
        guard let head, request.isForced ? hasDead : live < request.end / 2 else { return nil }
        try checkRoom(for: live)
        let (path, name) = (file.path, request.name)
        // While an error still changes nothing.
        let folder = try onLog(path) { () throws(SystemError) in try LogFile(file.folder, O_RDONLY | O_DIRECTORY) }
        var rewrite = try onLog(path) { () throws(SystemError) in
            try Rewrite(path, name: name, id: head.id, generation: head.generation + 1)
        }
        do throws(JournalError) {
            try copyLive(to: &rewrite)
            try catchUp(&rewrite)
            try onLog(path) { () throws(SystemError) in try rewrite.sync() }
        } catch {
            if !error.leavesDoubt { rewrite.abandon() }
            throw error
        }
        let made = Compaction.Replacement(
            file: rewrite.file, records: rewrite.records, size: rewrite.size, addresses: addresses)
        try rewrite.replace(in: folder, keeping: nil)
        return made
    }

    // MARK: Passes

    /// Finds out how much is live.
    private mutating func survey() throws(JournalError) {
        try eachSlice { (copy, lines) throws(JournalError) in
            if !copy.request.asks {
                for line in lines.candidates { copy.newest[line.id] = line.operation == .put ? line.address : nil }
            } else {
                try copy.count(lines)
            }
        }
        guard !request.asks else { return }
        try eachSlice { (copy, lines) throws(JournalError) in
            try copy.count(lines)
        }
    }

    private mutating func count(_ lines: Lines) throws(JournalError) {
        for (segment, isLive) in zip(lines.segments, try areLive(lines)) {
            if isLive { live += segment.length } else { hasDead = true }
        }
    }

    private mutating func copyLive(to rewrite: inout Rewrite) throws(JournalError) {
        var reader = SegmentReader(file, to: request.end)
        while let lines = try slice(&reader) {
            for (segment, isLive) in zip(lines.segments, try areLive(lines)) where isLive {
                let place = try copy(segment, to: &rewrite)
                addresses.append(request.addresses.address(of: segment.offset), at: place)
            }
        }
        rewrite.seal(upto: request.seq, settled: min(settled, request.seq))
        addresses.append(request.addresses.address(of: request.end), at: rewrite.size)
    }

    /// Copies what was appended, and in the end nothing more is.
    private mutating func catchUp(_ rewrite: inout Rewrite) throws(JournalError) {
        var copied = request.end
        var rounds = 0
        while true {
            let end = try guide.end()
            try checkRoom(for: end - copied)
            try copyAll(copied..<end, to: &rewrite)
            try onLog(file.path) { () throws(SystemError) in try rewrite.sync() }
            let missing = end - copied
            copied = end
            if missing <= Self.rest { break }
            rounds += 1
            // More comes than a slow disk takes twice: the committer waits a little longer, or it is tried again later.
            guard rounds >= Self.mostRounds else { continue }
            if missing <= Self.mostRest { break }
            throw JournalError(.io(SystemError("compaction", file.path, code: EBUSY)), file: file.path)
        }
        try copyAll(copied..<(try guide.lastEnd()), to: &rewrite)
    }

    private mutating func copyAll(_ range: Range<UInt64>, to rewrite: inout Rewrite) throws(JournalError) {
        var reader = SegmentReader(file, from: range.lowerBound, to: range.upperBound)
        while let segment = try reader.next() {
            guard segment.line != nil else { throw damaged(segment, "no whole line") }
            _ = try copy(segment, to: &rewrite)
        }
    }

    // MARK: Parts

    private mutating func eachSlice(
        _ body: (inout CompactionCopy, Lines) throws(JournalError) -> Void
    ) throws(JournalError) {
        var reader = SegmentReader(file, to: request.end)
        while let lines = try slice(&reader) { try body(&self, lines) }
    }

    /// The records of the next part of the log; nil at its end.
    private mutating func slice(_ reader: inout SegmentReader) throws(JournalError) -> Lines? {
        var lines = Lines()
        var length: UInt64 = 0
        while length < Self.slice, let segment = try reader.next() {
            length += segment.length
            switch segment.line {
            case .head(_, let id, let generation)?: head = (id.utf8, generation)
            case .sync(_, let settled)?: self.settled = max(self.settled, settled)
            case .record(_, _, let operation, let json)?:
                guard let id = request.key(json) else { throw damaged(segment, "a record without id") }
                let address = request.addresses.address(of: segment.offset)
                lines.candidates.append(Log.Candidate(id: id, address: address, operation: operation))
                // The JSON is not kept: it is many times as long as the line.
                lines.segments.append(
                    Segment(offset: segment.offset, length: segment.length, number: segment.number, line: nil))
            case nil: throw damaged(segment, "no whole line")
            default: break
            }
        }
        try guide.advance(length)
        return length > 0 ? lines : nil
    }

    private func areLive(_ lines: Lines) throws(JournalError) -> [Bool] {
        guard request.asks else { return lines.candidates.map { newest[$0.id] == $0.address } }
        return try guide.areLive(lines.candidates)
    }

    private func copy(_ segment: Segment, to rewrite: inout Rewrite) throws(JournalError) -> UInt64 {
        let place = try onLog(file.path) { () throws(SystemError) in
            let place = try rewrite.copy(segment.range, of: file)
            try rewrite.flushIfFull()
            return place
        }
        guard let place else { throw damaged(segment, "no whole line") }
        return place
    }

    /// Whether there is room for so many bytes, and some more.
    private func checkRoom(for bytes: UInt64) throws(JournalError) {
        var status = statvfs()
        let path = file.path
        _ = try onLog(path) { () throws(SystemError) in
            try system("statvfs", path) { unsafe statvfs(path, &status) }
        }
        let (free, wanted) = (status.bytes(status.f_bavail), bytes + Self.reserve)
        guard free >= wanted else { throw JournalError(.noRoom(free: free, wanted: wanted), file: path) }
    }

    private func damaged(_ segment: Segment, _ why: String) -> JournalError {
        JournalError(.damaged(offset: segment.offset, line: segment.number, why: why), file: file.path)
    }
}

extension LogFile {
    /// The directory that it is in.
    var folder: String { (path.lastIndex(of: "/").map { String(path[...$0]) } ?? "") + "." }
}
