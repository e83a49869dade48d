internal import EventLoop
internal import Glibc

/// A log that is written anew beside the old one, from lines of it, byte for byte, and then takes its place.
///
/// Until `replace` has renamed it, nothing rests on it: opening a log removes what is left of one.
struct Rewrite: ~Copyable {
    /// How much is written before it is synced.
    private static let heap: UInt64 = 1 << 22

    /// The path of the log; the new one is at `path` + `.new` until it takes its place.
    private let path: String
    /// The new file, under the name that it will have.
    let file: LogFile
    /// How many records were copied.
    private(set) var records: UInt64 = 0
    /// Bytes written and waiting to be.
    var size: UInt64 { written + UInt64(buffer.count) }
    private var written: UInt64 = 0
    private var synced: UInt64 = 0
    private var buffer: [UInt8] = []

    /// Begins one with its head.
    init(_ path: String, name: String, id: [UInt8], generation: UInt64) throws(SystemError) {
        self.path = path
        // Never an existing file: it might be the log itself under another name.
        unsafe unlink(path + ".new")
        file = try LogFile(path + ".new", O_RDWR | O_CREAT | O_EXCL, as: path)
        buffer.appendHead(log: name, id: id, generation: generation)
    }

    /// Copies a line of the given place, with its newline.
    ///
    /// - Returns: where it is now; nil when the line is not whole any more, and is not copied.
    mutating func copy(_ segment: Range<UInt64>, of old: LogFile) throws(SystemError) -> UInt64? {
        let start = buffer.count
        let length = Int(segment.upperBound - segment.lowerBound)
        buffer.append(contentsOf: repeatElement(0, count: length))
        let count = try old.read(into: &buffer, start..<(start + length), at: segment.lowerBound)
        let isWhole = count == length && buffer[start + length - 1] == 0x0A && isIntact(start..<(start + length - 1))
        guard isWhole else {
            buffer.removeSubrange(start...)
            return nil
        }
        records += 1
        defer { if buffer.count >= 1 << 20 { isFull = true } }
        return written + UInt64(start)
    }

    /// Whether a MiB waits to be written.
    private var isFull = false

    /// Writes what waits.
    mutating func flush() throws(SystemError) {
        guard !buffer.isEmpty else { return }
        try file.write(buffer, at: written)
        written += UInt64(buffer.count)
        buffer.removeAll(keepingCapacity: true)
        isFull = false
    }

    /// Writes what waits, and brings all that is not there yet to disk.
    mutating func sync() throws(SystemError) {
        try flush()
        guard synced < written else { return }
        try file.sync()
        synced = written
    }

    /// Writes a full buffer; and syncs now and then, so that no great heap of it delays the syncs of others.
    mutating func flushIfFull() throws(SystemError) {
        guard isFull else { return }
        try flush()
        if written - synced >= Self.heap { try sync() }
    }

    /// Ends the gaps in the numbers: all that was copied is on disk before anything is written behind.
    mutating func seal(upto: UInt64, settled: UInt64) {
        buffer.appendSeal(upto: upto, lines: records)
        if settled > 0 { buffer.appendSyncMark(durable: upto, settled: settled) }
    }

    /// Puts it in the log's place, on disk; all of it has been synced.
    ///
    /// - Parameters:
    ///   - folder: the directory, open.
    ///   - kept: the path at which the old log stays; nil to let it go.
    /// - Throws: `.io`, then the log is as it was; `.unsettled` when it is the new one, and only its name may be lost.
    consuming func replace(in folder: LogFile, keeping kept: String?) throws(JournalError) {
        do throws(SystemError) {
            if let kept {
                try system("link", kept) { unsafe link(path, kept) }
                // Its second name first: the rename takes the first one away.
                try folder.syncAll()
            }
            try system("rename", path) { unsafe rename(path + ".new", path) }
        } catch {
            if let kept, error.call != "link" { unsafe unlink(kept) }
            unsafe unlink(path + ".new")
            throw JournalError(.io(error), file: path)
        }
        do { try folder.syncAll() } catch { throw JournalError(.unsettled(error, kept: kept), file: path) }
    }

    /// Takes it away.
    consuming func abandon() { unsafe unlink(path + ".new") }

    private func isIntact(_ range: Range<Int>) -> Bool {
        unsafe buffer.withUnsafeBytes { bytes in
            unsafe Line.isIntact(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
    }
}
