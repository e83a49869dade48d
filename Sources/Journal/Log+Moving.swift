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

    /// Gives all lines new addresses, the lowest there are.
    ///
    /// Those given so far only grow, whatever compactions make of the log. No compaction of it may be under way, and whoever
    /// has addresses must translate them.
    ///
    /// - Returns: the new address for an old one; nil when no line is there any more.
    public func renewAddresses() -> (UInt64) -> UInt64? {
        let old = addresses
        addresses = Addresses()
        return old.places()
    }
}
