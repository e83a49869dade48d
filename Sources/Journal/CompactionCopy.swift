internal import EventLoop
internal import Glibc
internal import JSON

/// The work of a compaction, step by step; on its own thread.
struct CompactionCopy {
    /// How much of the log is read between two questions.
    private static let slice: UInt64 = 1 << 19
    /// How much may be left to copy while nothing is written.
    private static let rest: UInt64 = 1 << 16
    /// The same when that much is not reached in so many rounds.
    private static let mostRest: UInt64 = 1 << 22
    private static let mostRounds = 8
    /// How much is written before it is synced, so that no great heap of it delays the syncs of others.
    private static let heap: UInt64 = 1 << 22
    /// What must be free besides the new log.
    private static let reserve: UInt64 = 1 << 20

    private struct Lines {
        var candidates: [Log.Candidate] = []
        var segments: [Segment] = []
    }

    /// Bytes that are live, once it is known.
    private(set) var live: UInt64 = 0
    private var hasDead = false
    private let compaction: Compaction
    private let file: LogFile
    private let onFailure: @Sendable (JournalError) -> Never
    private var newest: [Text: UInt64] = [:]
    private var head: (id: [UInt8], generation: UInt64)?
    private var settled: UInt64 = 0
    private var addresses = Addresses()
    private var synced: UInt64 = 0

    private var request: Compaction.Request { compaction.request }

    init(
        _ compaction: Compaction, _ file: LogFile, _ onFailure: @escaping @Sendable (JournalError) -> Never
    ) throws(JournalError) {
        self.compaction = compaction
        self.file = file
        self.onFailure = onFailure
    }

    /// Does it all.
    ///
    /// - Returns: the new log; nil when that would not be worth while.
    /// - Throws: `.damaged`, `.io`, and why it was cancelled; the old log stays.
    mutating func run() throws(JournalError) -> Compaction.Replacement? {
        try survey()
        guard let head, request.isForced ? hasDead : live < request.end / 2 else { return nil }
        try checkRoom(for: live)
        let (path, name) = (file.path, request.name)
        var rewrite = try onLog(path) { () throws(SystemError) in
            try Rewrite(path, name: name, id: head.id, generation: head.generation + 1)
        }
        let size: UInt64
        do throws(JournalError) {
            try copyLive(to: &rewrite)
            size = try catchUp(&rewrite)
        } catch {
            stopIfOfSync(error)
            rewrite.abandon()
            throw error
        }
        return try place(rewrite, size)
    }

    /// An error of a sync ends the process here as everywhere: the disk is not what it says it is.
    ///
    /// The next start sees by the new file that is left that a compaction was not finished, and waits with the next one.
    private func stopIfOfSync(_ error: JournalError) {
        if case .io(let cause) = error.kind, cause.isOfSync { onFailure(error) }
    }

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
            try flush(&rewrite)
        }
        rewrite.seal(upto: request.seq, settled: min(settled, request.seq))
        addresses.append(request.addresses.address(of: request.end), at: rewrite.size)
    }

    /// Copies what was appended, and in the end nothing more is.
    ///
    /// - Returns: the length of the old log.
    private mutating func catchUp(_ rewrite: inout Rewrite) throws(JournalError) -> UInt64 {
        var copied = request.end
        var rounds = 0
        while true {
            let end = try compaction.end(.wantsEnd)
            try checkRoom(for: end - copied)
            try copyAll(copied..<end, to: &rewrite)
            try onLog(file.path) { () throws(SystemError) in
                try rewrite.flush()
                try rewrite.file.sync()
            }
            let missing = end - copied
            copied = end
            if missing <= Self.rest { break }
            rounds += 1
            // More comes than a slow disk takes twice: the committer waits a little longer, or it is tried again later.
            guard rounds >= Self.mostRounds else { continue }
            if missing <= Self.mostRest { break }
            throw JournalError(.io(SystemError("compaction", file.path, code: EBUSY)), file: file.path)
        }
        let end = try compaction.end(.wantsRest)
        try copyAll(copied..<end, to: &rewrite)
        return end
    }

    private mutating func copyAll(_ range: Range<UInt64>, to rewrite: inout Rewrite) throws(JournalError) {
        var reader = SegmentReader(file, from: range.lowerBound, to: range.upperBound)
        while let segment = try reader.next() {
            guard segment.line != nil else { throw damaged(segment, "no whole line") }
            _ = try copy(segment, to: &rewrite)
            try flush(&rewrite)
        }
    }

    /// Gives the new log the old one's name.
    ///
    /// Up to the rename an error leaves the old log in charge, unless it is one of a sync. When the rename or the sync of
    /// the name fails, it is not known which of the two the disk has: then the process ends.
    private func place(_ rewrite: consuming Rewrite, _ end: UInt64) throws(JournalError) -> Compaction.Replacement {
        let path = file.path
        let folder: LogFile
        do throws(SystemError) {
            try rewrite.finish()
            folder = try LogFile(file.folder, O_RDONLY | O_DIRECTORY)
        } catch {
            stopIfOfSync(JournalError(.io(error), file: path))
            rewrite.abandon()
            throw JournalError(.io(error), file: path)
        }
        let size = rewrite.size
        do throws(SystemError) {
            try rewrite.replace(in: folder, keeping: nil)
            return Compaction.Replacement(file: try LogFile(path, O_RDWR), size: size, addresses: addresses)
        } catch {
            guard error.call == "rename", error.isFullDisk else { onFailure(JournalError(.io(error), file: path)) }
            unsafe unlink(path + ".new")
            throw JournalError(.io(error), file: path)
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
        try compaction.advance(length)
        return length > 0 ? lines : nil
    }

    private func areLive(_ lines: Lines) throws(JournalError) -> [Bool] {
        guard request.asks else { return lines.candidates.map { newest[$0.id] == $0.address } }
        guard case .live(let live) = try compaction.ask(.question(lines.candidates)) else { return [] }
        return live
    }

    private func copy(_ segment: Segment, to rewrite: inout Rewrite) throws(JournalError) -> UInt64 {
        let range = segment.offset..<(segment.offset + segment.length)
        let place: UInt64?
        do { place = try rewrite.copy(range, of: file) } catch { throw JournalError(.io(error), file: file.path) }
        guard let place else { throw damaged(segment, "no whole line") }
        return place
    }

    private mutating func flush(_ rewrite: inout Rewrite) throws(JournalError) {
        guard rewrite.isFull else { return }
        do throws(SystemError) {
            try rewrite.flush()
            guard rewrite.size - synced >= Self.heap else { return }
            try rewrite.file.sync()
            synced = rewrite.size
        } catch { throw JournalError(.io(error), file: file.path) }
    }

    /// Whether there is room for so many bytes, and some more.
    private func checkRoom(for bytes: UInt64) throws(JournalError) {
        var status = statvfs()
        let path = file.path
        try onLog(path) { () throws(SystemError) in
            try system("statvfs", path) { unsafe statvfs(path, &status) }
            guard status.bytes(status.f_bavail) >= bytes + Self.reserve else {
                throw SystemError("compaction", path, code: ENOSPC)
            }
        }
    }

    private func damaged(_ segment: Segment, _ why: String) -> JournalError {
        JournalError(.damaged(offset: segment.offset, line: segment.number, why: why), file: file.path)
    }
}

extension Compaction {
    /// Where the log ends.
    fileprivate func end(_ event: Event) throws(JournalError) -> UInt64 {
        guard case .end(let end) = try ask(event) else { return request.end }
        return end
    }
}

extension LogFile {
    /// The directory that it is in.
    var folder: String { (path.lastIndex(of: "/").map { String(path[...$0]) } ?? "") + "." }
}
