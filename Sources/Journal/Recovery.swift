/// What opening a log found and did; says itself in one line for people.
public struct Recovery: Sendable, Hashable, CustomStringConvertible {
    /// Bytes behind the last good line: a batch that was being written when the power went; nobody was told of it.
    public struct Torn: Sendable, Hashable {
        /// Where the bytes began in the log.
        public let offset: UInt64
        /// How many there were.
        public let length: UInt64
        /// The file that keeps them; nil when there was no room for it, or nothing was to be changed.
        public let kept: String?
    }

    /// The path of the log.
    public let file: String
    /// How many records it holds.
    public let records: Int
    /// The number of its last record; compaction may have left fewer records than that.
    public let seq: UInt64
    /// How long it is now, in bytes.
    public let bytes: UInt64
    /// Whether there was no log before.
    public let isNew: Bool
    /// What was cut off its end, or would have been.
    public let torn: Torn?
    /// From where on lines that nothing proved to be on disk were written again and synced, or would have been.
    public let rewrittenFrom: UInt64?
    /// How many damaged lines are in it and are not served.
    public var damaged = 0
    /// Whether nothing was changed: what is said of the end is what the next start will do.
    public var isForeseen = false
    /// Whether a compaction was under way when the log was used last, which has left a file that is removed.
    public var hadCompaction = false

    /// One line, such as `devices.jsonl: 12 records, 4711 bytes; 30 bytes of an unfinished batch at byte 4711 cut off`.
    public var description: String {
        var text = "\(file): \(records) records, \(bytes) bytes"
        if isNew { text += "; new" }
        if let torn {
            text += "; \(torn.length) bytes of an unfinished batch at byte \(torn.offset)"
            if isForeseen {
                text += ", of which nobody was told; the next start cuts them off and keeps them aside"
            } else {
                text += " cut off, \(torn.kept.map { "kept in \($0)" } ?? "not kept")"
            }
        }
        if let rewrittenFrom {
            if isForeseen {
                text += "; no mark stands behind the lines from byte \(rewrittenFrom) on yet, "
                text += "which is so while a hub runs; a start writes them again"
            } else {
                text += "; lines from byte \(rewrittenFrom) on are written again: nothing proves them on disk yet"
            }
        }
        if damaged > 0 { text += "; \(damaged) damaged lines are not served" }
        return text
    }
}
