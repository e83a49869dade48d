public import JSON

extension Log {
    /// What a compaction of a log that nobody uses did.
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

    /// Writes the log anew without what later records have replaced, and puts it in the old one's place.
    ///
    /// Lines are copied byte for byte, each verified. A power cut at any point leaves the old log or the new one. The log
    /// must have nothing staged, and must not be used afterwards: open it again.
    ///
    /// - Parameters:
    ///   - isForced: whether one dead record is enough; otherwise more than half of the log is to be dead.
    ///   - key: the id of what a record is about.
    ///   - isLive: whether a record is to stay; nil when it is the newest state of its id.
    ///   - progress: takes how many bytes of how many are done.
    /// - Returns: what was done; nil when not enough is dead.
    /// - Throws: `.damaged` at a line that is not whole, `.noRoom`, `.io`: then the log is as it was. `.unsettled` when the
    ///   new one is in its place, and a power cut may bring the old one back.
    public func compact(
        isForced: Bool, key: @escaping @Sendable (JSONValue) -> Text?, isLive: ((Candidate) -> Bool)? = nil,
        progress: @escaping (UInt64, UInt64) -> Void = { _, _ in }
    ) throws(JournalError) -> Compacted? {
        let request = CompactionRequest(
            name: name, addresses: addresses, end: size, seq: seq, isForced: isForced, key: key, asks: isLive != nil)
        let guide = StoppedLog(request, isLive: isLive ?? { _ in true }, progress: progress)
        var copy = CompactionCopy(request, of: file, guidedBy: guide)
        guard let made = try copy.run() else { return nil }
        return Compacted(file: file.path, records: made.records, bytesBefore: size, bytes: made.size)
    }
}

/// What a compaction asks about a log that nobody uses.
private final class StoppedLog: CompactionGuide {
    private let request: CompactionRequest
    private let isLive: (Log.Candidate) -> Bool
    private let progress: (UInt64, UInt64) -> Void
    private var done: UInt64 = 0

    init(
        _ request: CompactionRequest, isLive: @escaping (Log.Candidate) -> Bool,
        progress: @escaping (UInt64, UInt64) -> Void
    ) {
        self.request = request
        self.isLive = isLive
        self.progress = progress
    }

    func areLive(_ candidates: [Log.Candidate]) -> [Bool] { candidates.map(isLive) }

    func end() -> UInt64 { request.end }

    func lastEnd() -> UInt64 { request.end }

    func advance(_ bytes: UInt64) {
        done += bytes
        progress(done, request.total)
    }
}
