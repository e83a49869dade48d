public import JSON

extension Log {
    /// A record that a compaction keeps if it is live.
    public struct Candidate: Sendable {
        /// The id of what it is about.
        public let id: Text
        /// Its address: what `append` returned, or a `Record.offset`.
        public let address: UInt64
        /// What it says.
        public let operation: Operation
    }

    /// How a compaction of a log in use ended.
    public enum Moved: Sendable {
        /// It is written anew.
        case shorter(bytesBefore: UInt64, bytes: UInt64)
        /// Of its bytes so many are live: it stays.
        case notWorthwhile(live: UInt64)
        /// It stays.
        case failed(JournalError)
    }

    /// Goes on in the file that a compaction made; nothing is in flight.
    func take(_ replacement: Compaction.Replacement) {
        file = replacement.file
        size = replacement.size
        addresses = replacement.addresses
        resume = nil
    }
}
