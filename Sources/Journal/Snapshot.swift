internal import EventLoop
internal import Glibc
public import JSON

extension Log {
    /// A log as it was when this was made, for reading: whatever takes its place later is none of it.
    ///
    /// A hub may be using the log. What is behind its last durable line may be taken back, and written again otherwise.
    public struct Snapshot: Sendable {
        /// The path of the log.
        public let path: String
        /// Its length, in bytes; 0 when it is not there.
        public let size: UInt64
        /// When it was changed last, in seconds since 1970.
        public let changed: UInt64
        private let name: String
        private let file: LogFile?

        /// Opens `DIRECTORY/NAME.jsonl`.
        public init(directory: String, name: String) throws(JournalError) {
            let path = "\(directory)/\(name).jsonl"
            self.name = name
            self.path = path
            file = try Log.existing(path, O_RDONLY)
            let status = try file.map { (file) throws(JournalError) in
                try onLog(path) { () throws(SystemError) in try file.status() }
            }
            size = UInt64(clamping: status?.st_size ?? 0)
            changed = UInt64(clamping: status?.st_mtim.tv_sec ?? 0)
        }

        /// Whether the log is there.
        public var exists: Bool { file != nil }

        /// The id in its head; nil when there is no whole head.
        public func id() throws(JournalError) -> Text? {
            guard let file else { return nil }
            var reader = SegmentReader(file, to: size, chunk: 4096)
            guard case .head(_, let id, _)? = try reader.next()?.line else { return nil }
            return id
        }

        /// The same walk as `open`, changing nothing.
        ///
        /// - Returns: what `open` would have found and done.
        /// - Throws: as `open`.
        public func verify(
            proven: UInt64 = 0, watch: ReadingWatch = { _ in },
            replay: (Record, EarlierRecords) throws(JournalError) -> Void
        ) throws(JournalError) -> Recovery {
            guard let file else {
                try Log.refuseMissing(path, proven)
                return Recovery(file: path, records: 0, seq: 0, bytes: 0, isNew: true, torn: nil, rewrittenFrom: nil)
            }
            // From the medium, and without pushing what others need out of memory.
            file.dropCache()
            defer { file.dropCache() }
            let earlier = EarlierRecords(file, size: size)
            let end = try Walk.through(file, size: size, name: name, proven: proven, forgets: true, watch: watch) {
                (record) throws(JournalError) in
                try replay(record, earlier)
            }
            let isTorn = end.bytes < size
            return Recovery(
                file: path, records: end.records, seq: end.seq, bytes: end.bytes, isNew: size == 0,
                torn: isTorn ? .init(offset: end.bytes, length: size - end.bytes, kept: nil) : nil,
                rewrittenFrom: end.unproven < end.bytes ? end.unproven : nil, isForeseen: true)
        }

        /// At most so many bytes from an offset on; fewer only at the end of the file.
        public func read(_ count: Int, at offset: UInt64) throws(JournalError) -> [UInt8] {
            guard let file else { return [] }
            var bytes = [UInt8](repeating: 0, count: count)
            let filled = try onLog(path) { () throws(SystemError) in
                try file.read(into: &bytes, 0..<count, at: offset)
            }
            bytes.removeSubrange(filled...)
            return bytes
        }

        /// The length up to the end of the last line of the first `size` bytes.
        public func wholeLines(in size: UInt64) throws(JournalError) -> UInt64 {
            var end = size
            while end > 0 {
                let start = end - min(end, UInt64(Line.limit))
                if let newline = try read(Int(end - start), at: start).lastIndex(of: UInt8(ascii: "\n")) {
                    return start + UInt64(newline) + 1
                }
                end = start
            }
            return 0
        }
    }

    /// Reads `DIRECTORY/NAME.jsonl` and changes nothing; see `Snapshot.verify`.
    public static func verify(
        directory: String, name: String, proven: UInt64 = 0, watch: ReadingWatch = { _ in },
        replay: (Record, EarlierRecords) throws(JournalError) -> Void
    ) throws(JournalError) -> Recovery {
        try Snapshot(directory: directory, name: name).verify(proven: proven, watch: watch, replay: replay)
    }
    /// The id in the head of `DIRECTORY/NAME.jsonl`; nil when it is not there, or has no whole head.
    public static func id(directory: String, name: String) throws(JournalError) -> Text? {
        try Snapshot(directory: directory, name: name).id()
    }
}
