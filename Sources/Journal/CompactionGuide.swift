internal import JSON

/// Whoever knows, while a log is written anew, what of it is live and where it ends.
protocol CompactionGuide {
    /// Which of the records are to stay.
    func areLive(_ candidates: [Log.Candidate]) throws(JournalError) -> [Bool]

    /// Where the log ends now.
    func end() throws(JournalError) -> UInt64

    /// The same, and that nothing is written to it from then on, unless the old log stays.
    func lastEnd() throws(JournalError) -> UInt64

    /// Takes how many bytes more have been read; throws when the copy is not wanted any more.
    func advance(_ bytes: UInt64) throws(JournalError)
}

/// What is to be written anew, and when.
struct CompactionRequest: Sendable {
    let name: String
    let addresses: Addresses
    /// Where the log ends now, and the number of its last record there.
    let end: UInt64
    let seq: UInt64
    /// Whether one dead record is enough, or more than half of the log is to be.
    let isForced: Bool
    /// The id of what a record is about.
    let key: @Sendable (JSONValue) -> Text?
    /// Whether the guide knows what is live; otherwise the newest state of each id is.
    let asks: Bool
    /// Bytes that are read in all passes: for the newest states, for what is live, for the copy.
    var total: UInt64 { (asks ? 2 : 3) * end }
}
