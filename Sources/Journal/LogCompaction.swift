internal import EventLoop
internal import Glibc
internal import JSON

extension Log {
    /// What a compaction did.
    public struct Compacted: Sendable, Hashable {
        /// The path of the log.
        public let file: String
        /// How many records the log holds now.
        public let records: UInt64
        /// Its length before, in bytes.
        public let bytesBefore: UInt64
        /// Its length now, in bytes.
        public let bytes: UInt64
    }

    /// Writes the log anew without the records that later ones have replaced, and puts it in the old one's place.
    ///
    /// Lines are copied byte for byte, each verified. A power cut at any point leaves the old log or the new one. The log
    /// must have nothing staged, and must not be used afterwards: open it again.
    ///
    /// - Parameters:
    ///   - isLive: whether a record is to stay.
    ///   - progress: takes how many bytes of how many are done.
    /// - Throws: `.damaged` at a line that is not whole, `.io`; until the new log has its place nothing has changed.
    public func compact(
        isLive: (Record) -> Bool, progress: (UInt64, UInt64) -> Void
    ) throws(JournalError) -> Compacted {
        let path = file.path
        let head = try head()
        let end = size
        let folder = try onLog(path) { () throws(SystemError) in
            try LogFile(file.folder, O_RDONLY | O_DIRECTORY)
        }
        var rewrite = try onLog(path) { () throws(SystemError) in
            try Rewrite(path, name: name, id: head.id, generation: head.generation + 1)
        }
        do throws(JournalError) {
            var reader = SegmentReader(file, to: end)
            while let segment = try reader.next() {
                progress(segment.offset, end)
                try copy(segment, to: &rewrite, isLive)
            }
            rewrite.seal(upto: seq, settled: min(settled, seq))
            try onLog(path) { () throws(SystemError) in try rewrite.finish() }
        } catch {
            rewrite.abandon()
            throw error
        }
        let (records, bytes) = (rewrite.records, rewrite.size)
        do { try rewrite.replace(in: folder, keeping: nil) } catch { throw JournalError(.io(error), file: path) }
        return Compacted(file: path, records: records, bytesBefore: end, bytes: bytes)
    }

    private func copy(
        _ segment: Segment, to rewrite: inout Rewrite, _ isLive: (Record) -> Bool
    ) throws(JournalError) {
        func damaged(_ why: String) -> JournalError {
            JournalError(.damaged(offset: segment.offset, line: segment.number, why: why), file: file.path)
        }
        guard let line = segment.line else { throw damaged("no whole line") }
        guard case .record(let seq, let durable, let operation, let json) = line else { return }
        let record = Record(seq: seq, durable: durable, operation: operation, offset: segment.offset, json: json)
        guard isLive(record) else { return }
        let range = segment.offset..<(segment.offset + segment.length)
        let isWhole = try copied(range, to: &rewrite)
        guard isWhole else { throw damaged("no whole line any more") }
    }

    private func copied(_ range: Range<UInt64>, to rewrite: inout Rewrite) throws(JournalError) -> Bool {
        do throws(SystemError) {
            let isWhole = try rewrite.copy(range, of: file) != nil
            if rewrite.isFull { try rewrite.flush() }
            return isWhole
        } catch { throw JournalError(.io(error), file: file.path) }
    }

    private func head() throws(JournalError) -> (id: [UInt8], generation: UInt64) {
        var reader = SegmentReader(file, to: size, chunk: 1 << 12)
        guard case .head(_, let id, let generation)? = try reader.next()?.line else {
            throw JournalError(.damaged(offset: 0, line: 1, why: "not the head of a log"), file: file.path)
        }
        return (id.utf8, generation)
    }
}
