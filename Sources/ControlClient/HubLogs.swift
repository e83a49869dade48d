internal import JSON

extension Hub {
    /// What became of one log.
    public struct CompactedLog: Sendable {
        /// The log's name, such as `devices`.
        public let log: String
        /// Bytes before and now; nil when nothing of it was replaced, or it failed.
        public let bytes: (before: UInt64, now: UInt64)?
        /// Why it stays as it is.
        public let failure: String?
        /// Whether that is because it is damaged.
        public let isDamaged: Bool
    }

    /// Writes the hub's logs anew while it uses them, and waits for the end: `POST /api/nearhub/log/compact`.
    ///
    /// - Parameters:
    ///   - pause: waits a moment between two looks at how far it is.
    ///   - progress: takes how many bytes of how many are done.
    /// - Returns: what became of each log.
    public func compactLogs(
        pause: () -> Void, progress: (UInt64, UInt64) -> Void
    ) throws(ControlError) -> [CompactedLog] {
        let subject = "log compact"
        let run = try ask("POST", "/api/nearhub/log/compact", about: subject)?["runs"]
        while true {
            // A hub that was started anew meanwhile counts from the beginning.
            guard let compaction = try status()["compaction"], let isRunning = compaction["running"]?.bool,
                run != nil, compaction["runs"] == run
            else { throw Self.unexpected(subject) }
            if !isRunning { return (compaction["outcomes"]?.array ?? []).compactMap(Self.compacted) }
            if let done = compaction["done"]?.unsigned, let total = compaction["total"]?.unsigned {
                progress(done, total)
            }
            pause()
        }
    }

    private static func compacted(_ outcome: JSONValue) -> CompactedLog? {
        guard let log = outcome["log"]?.text?.description else { return nil }
        var bytes: (before: UInt64, now: UInt64)?
        if let before = outcome["before"]?.unsigned, let now = outcome["bytes"]?.unsigned { bytes = (before, now) }
        return CompactedLog(
            log: log, bytes: bytes, failure: outcome["failed"]?.text?.description,
            isDamaged: outcome["damaged"]?.bool ?? false)
    }
}
