internal import JSON

extension Feed {
    /// A device that was offered and is not settled yet.
    struct Flight {
        /// The line that was offered.
        let line: UInt64
        /// The same if it holds the cursor; nil for a device that is told again.
        var seq: UInt64?
        /// The first line read meanwhile.
        var next: UInt64?
        /// The name that was offered.
        let name: Text
        /// Whether its end was, as the log tells it.
        let isEnd: Bool
    }
}
