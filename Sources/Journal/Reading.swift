extension Log {
    /// How far a log has been read.
    public struct Reading: Sendable {
        /// The path of the log.
        public let file: String
        /// Bytes that have been read.
        public let bytes: UInt64
        /// Bytes that there are.
        public let size: UInt64

        /// 0 to 100.
        public var percent: UInt64 { size == 0 ? 100 : min(bytes, size) * 100 / size }
        /// The name of the file.
        public var name: Substring { file.split(separator: "/").last ?? "" }
    }

    /// Takes how far it is, every 64 KiB; throws to end it, `.stopped` for instance.
    public typealias ReadingWatch = (Reading) throws(JournalError) -> Void
}
