internal import EventLoop
public import JSON

/// One append-only log of JSON lines, `DIRECTORY/NAME.jsonl`; belongs to the loop's thread.
///
/// A record is staged by `append` and can be read from then on; the `Journal` that holds the log brings it to disk.
/// Lines are never written again in place. The format is described at `Line`.
public final class Log {
    /// The log's name, such as `devices`.
    public let name: String
    /// The number of the last record staged; 0 in an empty log.
    public internal(set) var seq: UInt64
    /// The number up to which all records are on disk.
    public internal(set) var durableSeq: UInt64
    /// Bytes written to the file.
    public internal(set) var size: UInt64
    /// The highest `settled` that marks held when the log was opened.
    public let settled: UInt64

    var file: LogFile
    /// Where lines are that a compaction has moved.
    var addresses = Addresses()
    /// Where the record behind the one of this number is in the file, from the last look through the records.
    var resume: (seq: UInt64, place: UInt64)?
    /// Bytes that the committer is writing at `size`; never changed meanwhile.
    var inFlight: [UInt8] = []
    /// Lines of the next batch; they come behind `inFlight`.
    var staging = JSONWriter()
    /// The last number of the batch before.
    private var batchSeq: UInt64
    /// What lines of the next batch give as `durable`: the last number of the last batch that was to be synced.
    private var batchDurable: UInt64
    /// The number up to which marks prove that records are on disk.
    public private(set) var provenSeq: UInt64
    /// The last number that a sync has returned for.
    public private(set) var syncedSeq: UInt64
    /// Whether something was written that was not synced.
    private var hasUnsynced = false
    /// Whether the batch that is being written is to be synced.
    private var isSyncing = false
    /// Whether records count as durable once they are written, since nothing is lost when the last ones are; they are
    /// synced when `wantsSync` is set, and for a clean stop; marks are not.
    public var isLazy = false
    /// Whether a lazy log is to be synced with the next group.
    public var wantsSync = false
    /// Whether damaged lines are passed over where all records are read.
    var skipsDamage = false
    /// Why no record is taken at present.
    var obstacle: SystemError?
    private var timestamp = Timestamp()

    /// A log that was recovered and ends at `size`.
    init(name: String, file: LogFile, seq: UInt64, size: UInt64, settled: UInt64) {
        self.name = name
        self.file = file
        self.seq = seq
        self.size = size
        self.settled = settled
        durableSeq = seq
        batchSeq = seq
        batchDurable = seq
        syncedSeq = seq
        provenSeq = seq
    }

    /// Stages one record.
    ///
    /// The line is `{"seq":…,"durable":…,"at":"…","op":"put"`, then what `body` writes, then the checksum. A time before
    /// this version was made has `"clock":"unset"` behind it.
    ///
    /// - Parameters:
    ///   - operation: what it says.
    ///   - milliseconds: the time since 1970, for people; nothing is ordered by it.
    ///   - body: writes the further members, each a name and a value; must not use the log.
    /// - Returns: the address at which `read(at:)` finds it from now on.
    /// - Throws: `.lineTooLong`, `.unreadable`, `.exhausted` or `.suspended`; then nothing is staged.
    public func append(
        _ operation: Operation, at milliseconds: Int64, _ body: (inout JSONWriter) -> Void
    ) throws(JournalError) -> UInt64 {
        if let obstacle { throw JournalError(.suspended(obstacle), file: file.path) }
        guard seq < Line.maximumSeq else { throw JournalError(.exhausted, file: file.path) }
        let start = staging.bytes.count
        if let kind = stage(operation, milliseconds, body, &staging) {
            staging.bytes.removeSubrange(start...)
            throw JournalError(kind, file: file.path)
        }
        seq += 1
        return stagedOffset + UInt64(start)
    }

    /// Stages a mark that says how far records are on disk; written with the next group, no reply waits for it.
    ///
    /// - Parameter settled: the number up to which no answer may be given again (protocol.md D4); nil to say nothing.
    public func mark(settled: UInt64? = nil) {
        staging.bytes.appendSyncMark(durable: batchDurable, settled: settled)
        provenSeq = batchDurable
    }

    /// The address of the first staged byte.
    var stagedOffset: UInt64 { addresses.address(of: size + UInt64(inFlight.count)) }
    /// The address that the next record will have; grows with all that is written, also when the log grows shorter.
    public var nextAddress: UInt64 { stagedOffset + UInt64(staging.bytes.count) }

    // MARK: Group commit

    /// Gives what is staged to be written at `size`; nil when there is nothing to do.
    ///
    /// - Parameter syncing: whether marks alone are synced too.
    func beginCommit(syncing: Bool) -> Committer.Batch? {
        let hasRecords = seq > batchSeq && !isLazy
        let isUnsynced = isLazy ? seq > syncedSeq : hasUnsynced || !staging.bytes.isEmpty
        let syncs = hasRecords || (syncing || wantsSync) && isUnsynced
        guard syncs || !staging.bytes.isEmpty else { return nil }
        swap(&inFlight, &staging.bytes)
        batchSeq = seq
        if syncs {
            batchDurable = seq
            wantsSync = false
        }
        isSyncing = syncs
        hasUnsynced = !syncs
        return Committer.Batch(file: file, bytes: inFlight, offset: size, syncs: syncs)
    }

    /// Takes note that what `beginCommit` gave is written, and on disk if it was to be synced.
    func endCommit() {
        size += UInt64(inFlight.count)
        durableSeq = batchSeq
        if isSyncing { syncedSeq = batchSeq }
        // A buffer that one great batch made great is not kept.
        inFlight.removeAll(keepingCapacity: inFlight.capacity <= 1 << 20)
    }

    /// Forgets all that is not on disk: what `beginCommit` gave and could not be written, and what was staged since.
    func takeBack() {
        seq = durableSeq
        batchSeq = durableSeq
        batchDurable = syncedSeq
        provenSeq = min(provenSeq, syncedSeq)
        inFlight = []
        staging.bytes.removeAll()
        // Those before the group may not be.
        hasUnsynced = true
    }

    /// Stages a mark that is a block long: what has room for it has room for records.
    func probe() {
        staging.bytes.appendSyncMark(durable: batchDurable, settled: nil, length: 4096)
    }

    private func stage(
        _ operation: Operation, _ milliseconds: Int64, _ body: (inout JSONWriter) -> Void, _ writer: inout JSONWriter
    ) -> JournalError.Kind? {
        let start = writer.bytes.count
        writer.bytes.append("{\"seq\":")
        writer.bytes.appendDigits(seq + 1)
        writer.bytes.append(",\"durable\":")
        writer.bytes.appendDigits(batchDurable)
        writer.bytes.append(",\"at\":\"")
        timestamp.append(milliseconds, to: &writer.bytes)
        if milliseconds < Duration.earliestMilliseconds { writer.bytes.append("\",\"clock\":\"unset") }
        writer.bytes.append(operation == .put ? "\",\"op\":\"put\"" : "\",\"op\":\"delete\"")
        let bodyStart = writer.bytes.count
        body(&writer)
        if let why = Line.obstacle(in: writer.bytes, from: bodyStart) { return .unreadable(why: why) }
        let length = writer.bytes.count - start + Line.tail + 1
        guard length <= Line.limit else { return .lineTooLong(bytes: length) }
        writer.bytes.closeLine(from: start)
        return nil
    }
}
