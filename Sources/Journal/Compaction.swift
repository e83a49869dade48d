internal import CXXHash
internal import EventLoop
internal import Glibc
internal import JSON

/// A log that is written anew while it is used; lives on the committer's thread and takes a step between two batches.
///
/// It decides itself what is live, from the log up to where it was when it began: the newest state of each id. What is
/// appended meanwhile is copied behind the seal as it is.
final class Compaction {
    /// What is to be done.
    struct Request: Sendable {
        let file: LogFile
        let name: String
        /// Where the log ends now, and the number of its last record there.
        let end: UInt64
        let seq: UInt64
        /// The id of what a record is about.
        let key: @Sendable (JSONValue) -> Text?
    }

    /// The new log in the old one's place, and where lines went.
    struct Result: Sendable {
        let file: LogFile
        let size: UInt64
        /// Where lines that were copied one by one had been, and are: both rise.
        let olds: [UInt64]
        let news: [UInt64]
        /// From here on all lines keep their distance.
        let tailOld: UInt64
        let tailNew: UInt64
        let seq: UInt64
    }

    private struct Key: Hashable {
        let low: UInt64
        let high: UInt64
    }

    private enum Phase { case survey, copy, ready }

    /// How much of the log one step reads.
    static let slice: UInt64 = 1 << 20
    /// How much may be left to copy while no batch is written.
    static let rest: UInt64 = 1 << 16

    private let request: Request
    private let folder: LogFile
    private var reader: SegmentReader
    private var phase = Phase.survey
    private var newest: [Key: UInt64] = [:]
    private var head: (id: [UInt8], generation: UInt64)?
    private var settled: UInt64 = 0
    private var rewrite: Rewrite?
    private var olds: [UInt64] = []
    private var news: [UInt64] = []
    private var tailNew: UInt64 = 0
    private var copied: UInt64

    init(_ request: Request) throws(JournalError) {
        self.request = request
        reader = SegmentReader(request.file, to: request.end)
        copied = request.end
        folder = try onLog(request.file.path) { () throws(SystemError) in
            let folder = try LogFile(folderOf: request.file.path)
            guard try folder.room() >= request.end + (1 << 20) else {
                throw SystemError("compaction", request.file.path, code: ENOSPC)
            }
            return folder
        }
    }

    /// Reads on by a slice; true when all but what was appended is copied.
    func step() throws(JournalError) -> Bool {
        var left = Self.slice
        while phase != .ready, left > 0 {
            guard let segment = try reader.next() else {
                try endPhase()
                continue
            }
            left -= min(left, segment.length)
            guard let line = segment.line else { throw damaged(segment) }
            phase == .survey ? try survey(line, segment.offset) : try copy(line, segment)
        }
        return phase == .ready
    }

    /// Copies what was appended up to the given size; true when that was so little that the log may take its place.
    func catchUp(to size: UInt64) throws(JournalError) -> Bool {
        let isClose = size - copied <= Self.rest
        var tail = SegmentReader(request.file, from: copied, to: size)
        while let segment = try tail.next() {
            guard segment.line != nil, try copy(segment) != nil else { throw damaged(segment) }
        }
        try onLog(request.file.path) { () throws(SystemError) in try rewrite?.flush() }
        copied = size
        return isClose
    }

    /// Brings the copy to disk without putting it in place.
    func sync() throws(SystemError) { try rewrite?.file.sync() }

    /// Puts it in place.
    func replace() throws(SystemError) -> Result? {
        guard let rewrite = rewrite.take() else { return nil }
        let (file, size) = (rewrite.file, rewrite.size)
        try rewrite.replace(in: folder, keeping: nil)
        return Result(
            file: file, size: size, olds: olds, news: news, tailOld: request.end, tailNew: tailNew, seq: request.seq)
    }

    /// Takes away what was written.
    func abandon() {
        if let rewrite = rewrite.take() { rewrite.abandon() }
    }

    private func survey(_ line: Line, _ offset: UInt64) throws(JournalError) {
        switch line {
        case .head(_, let id, let generation): head = (id.utf8, generation)
        case .sync(_, let settled): self.settled = max(self.settled, settled)
        case .record(_, _, let operation, let json): newest[try key(json)] = operation == .put ? offset : nil
        default: break
        }
    }

    private func copy(_ line: Line, _ segment: Segment) throws(JournalError) {
        guard case .record(_, _, _, let json) = line, newest[try key(json)] == segment.offset else { return }
        guard let offset = try copy(segment) else { throw damaged(segment) }
        olds.append(segment.offset)
        news.append(offset)
    }

    private func copy(_ segment: Segment) throws(JournalError) -> UInt64? {
        do throws(SystemError) {
            let range = segment.offset..<(segment.offset + segment.length)
            let offset = try rewrite?.copy(range, of: request.file) ?? nil
            if rewrite?.isFull == true { try rewrite?.flush() }
            return offset
        } catch { throw JournalError(.io(error), file: request.file.path) }
    }

    private func endPhase() throws(JournalError) {
        if phase == .survey {
            guard let head else {
                throw JournalError(.damaged(offset: 0, line: 1, why: "not the head of a log"), file: request.file.path)
            }
            rewrite = try onLog(request.file.path) { () throws(SystemError) in
                try Rewrite(request.file.path, name: request.name, id: head.id, generation: head.generation + 1)
            }
            reader = SegmentReader(request.file, to: request.end)
            phase = .copy
        } else {
            rewrite?.seal(upto: request.seq, settled: min(settled, request.seq))
            try onLog(request.file.path) { () throws(SystemError) in try rewrite?.flush() }
            tailNew = rewrite?.size ?? 0
            newest = [:]
            phase = .ready
        }
    }

    private func key(_ json: JSONValue) throws(JournalError) -> Key {
        guard let text = request.key(json) else {
            throw JournalError(.unreadable(why: "a record without id"), file: request.file.path)
        }
        let hash = unsafe XXH3_128bits(text.utf8, text.utf8.count)
        return Key(low: hash.low64, high: hash.high64)
    }

    private func damaged(_ segment: Segment) -> JournalError {
        JournalError(
            .damaged(offset: segment.offset, line: segment.number, why: "no whole line"), file: request.file.path)
    }
}
