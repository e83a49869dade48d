internal import EventLoop
internal import Glibc

/// What recovery does to the end of a log.
///
/// Each step may be cut short by another power cut and repeated.
enum Tail {
    /// Keeps what lies behind the last good line in a file of its own, then cuts it off; nil when there is nothing.
    ///
    /// A full disk does not stop it: then the bytes are not kept.
    static func cut(
        _ file: LogFile, _ end: Walk.End, size: UInt64, _ folder: LogFile
    ) throws(JournalError) -> Recovery.Torn? {
        guard end.bytes < size else { return nil }
        let kept = try onLog(file.path) { () throws(SystemError) in
            let kept = try keep(file, end.bytes, size, folder)
            try file.truncate(to: end.bytes)
            return kept
        }
        return Recovery.Torn(offset: end.bytes, length: size - end.bytes, kept: kept)
    }

    /// Writes the lines that nothing proves to be on disk again, syncs, adds a mark that says so, and syncs.
    ///
    /// - Returns: the new length.
    static func rewrite(_ file: LogFile, _ end: Walk.End) throws(SystemError) -> UInt64 {
        try copy(file, end.unproven, end.bytes, to: file, at: end.unproven)
        try file.sync()
        var mark: [UInt8] = []
        mark.appendSyncMark(durable: end.seq, settled: nil)
        var size = end.bytes + UInt64(mark.count)
        do { try file.write(mark, at: end.bytes) } catch {
            guard error.isFullDisk else { throw error }
            try file.truncate(to: end.bytes)
            size = end.bytes
        }
        try file.sync()
        return size
    }

    private static func keep(
        _ file: LogFile, _ start: UInt64, _ end: UInt64, _ folder: LogFile
    ) throws(SystemError) -> String? {
        var number = 0
        while true {
            let path = "\(file.path).torn-\(number)"
            let torn: LogFile
            do { torn = try LogFile(path, O_WRONLY | O_CREAT | O_EXCL) } catch {
                if error.isFullDisk { return nil }
                guard error.code == EEXIST else { throw error }
                number += 1
                continue
            }
            do { try copy(file, start, end, to: torn, at: 0) } catch {
                unsafe unlink(path)
                guard error.isFullDisk else { throw error }
                return nil
            }
            try torn.syncAll()
            try folder.syncAll()
            return path
        }
    }

    private static func copy(
        _ file: LogFile, _ start: UInt64, _ end: UInt64, to target: LogFile, at offset: UInt64
    ) throws(SystemError) {
        guard start < end else { return }
        var buffer = [UInt8](repeating: 0, count: Int(min(end - start, 1 << 20)))
        var done: UInt64 = 0
        while done < end - start {
            let wanted = Int(min(UInt64(buffer.count), end - start - done))
            let count = try file.read(into: &buffer, 0..<wanted, at: start + done)
            guard count > 0 else { throw SystemError("pread", file.path, code: EIO) }
            try target.write(buffer, count: count, at: offset + done)
            done += UInt64(count)
        }
    }
}

extension SystemError {
    /// Whether the disk, or the share of it that the user or the process may use, is full.
    var isFullDisk: Bool { code == ENOSPC || code == EDQUOT || code == EFBIG }

    /// Whether it was a sync that failed: what was written is not on disk, and never will be.
    var isOfSync: Bool { call == "fdatasync" || call == "fsync" }

    /// Whether a read that failed so met bytes that the disk does not give, such as a bad sector.
    var isUnreadable: Bool { code == EIO || code == EBADMSG }

    /// Whether a write that failed so leaves a file that can be cut back and used further.
    ///
    /// Only of a write: the same numbers from a sync mean that data is lost.
    var isRefusedWrite: Bool { isFullDisk || code == EIO || code == EROFS }
}
