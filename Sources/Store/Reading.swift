public import Journal

extension Store {
    /// How far a log has been read when the state is opened.
    public struct Reading: Sendable {
        /// The path of the log.
        public let file: String
        /// Bytes that have been read.
        public let bytes: UInt64
        /// Bytes that there are.
        public let size: UInt64

        /// 0 to 100.
        public var percent: UInt64 { size == 0 ? 100 : min(bytes, size) * 100 / size }
    }

    /// Takes how far it is; throws to end it, `.stopped` for instance.
    public typealias ReadingWatch = (Reading) throws(JournalError) -> Void
}
