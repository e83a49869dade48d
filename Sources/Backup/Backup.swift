internal import EventLoop
internal import Glibc
internal import Journal
internal import Store

/// Takes what is done at present, such as `reading devices.jsonl`, and how many bytes of how many are done; 0 of an
/// unknown number.
public typealias ProgressWatch = (String, UInt64, UInt64) -> Void

/// Writes the state of a hub, running or not, into one archive that any tar can list.
///
/// The logs are opened one after the other, so that each is older than what it refers to: a device that came meanwhile may
/// be missing, none is without its profile. What is then read and found whole is what is copied, from the same files,
/// whatever a compaction puts in their place. What a power cut left behind the last good line is no part of it.
public enum Backup {
    /// Writes the archive.
    ///
    /// - Parameters:
    ///   - directory: the state directory.
    ///   - file: the archive to make, which must not be there; `-` for standard output.
    ///   - progress: takes how far it is.
    /// - Returns: what is in the state.
    /// - Throws: damage in the state, before anything is written, and failures of the disk; then there is no archive.
    public static func write(
        _ directory: String, to file: String, progress: ProgressWatch
    ) throws(BackupError) -> BackupContents {
        let state = absolutePath(directory)
        for name in StateFile.allCases where name.isNeeded {
            try orFail { () throws(SystemError) in _ = try ByteFile("\(state)/\(name.rawValue)", O_RDONLY) }
        }
        let found: Store.Inspection
        do { found = try Store.inspect(state, watch: { progress("reading \($0.name)", $0.bytes, $0.size) }) } catch {
            throw BackupError(error, "nothing was written; copy the directory with cp to keep what is there")
        }
        if file == "-" {
            try archive(found.logs, ByteFile(path: "stdout", owning: dup(STDOUT_FILENO)), progress)
        } else {
            let output = try make(file)
            do throws(BackupError) {
                try archive(found.logs, output, progress)
                try orFail { () throws(SystemError) in
                    try output.sync()
                    try syncDirectory(parent(of: file))
                }
            } catch {
                unsafe unlink(file)
                throw error
            }
        }
        return BackupContents(found)
    }

    private static func make(_ file: String) throws(BackupError) -> ByteFile {
        do throws(SystemError) {
            let output = try ByteFile(file, O_WRONLY | O_CREAT | O_EXCL)
            // Whatever the mask is; what cannot be had with these permissions is not kept.
            do { try output.permit(0o600) } catch {
                unsafe unlink(file)
                throw error
            }
            return output
        } catch {
            guard error.code == EEXIST else { throw BackupError(error) }
            throw BackupError(.refused, "\(file) is there already; give another name or remove it")
        }
    }

    private static func archive(
        _ logs: [Store.InspectedLog], _ output: borrowing ByteFile, _ progress: ProgressWatch
    ) throws(BackupError) {
        let total = logs.reduce(0) { $0 + $1.recovery.bytes }
        var done: UInt64 = 0
        for name in StateFile.allCases {
            guard let found = logs.first(where: { $0.log.path.hasSuffix("/\(name.rawValue)") }), found.log.exists
            else { continue }
            try member(name, found, output) { count in
                done += count
                progress("writing", done, total)
            }
        }
        try orFail { () throws(SystemError) in
            try output.write([UInt8](repeating: 0, count: 2 * TarHeader.blockSize))
        }
    }

    /// Writes one log up to its last line that was found whole.
    private static func member(
        _ name: StateFile, _ found: Store.InspectedLog, _ output: borrowing ByteFile, _ progress: (UInt64) -> Void
    ) throws(BackupError) {
        let log = found.log
        func read(_ count: UInt64, at offset: UInt64) throws(BackupError) -> [UInt8] {
            do { return try log.read(Int(min(count, UInt64(ByteFile.chunk))), at: offset) } catch {
                throw BackupError(error, "there is no archive")
            }
        }
        let size: UInt64
        // A hub whose disk is full may have taken back what it had not answered yet.
        do { size = try log.wholeLines(in: found.recovery.bytes) } catch {
            throw BackupError(error, "there is no archive")
        }
        let header = TarHeader(file: name.rawValue, size: size)
        guard header.size < 1 << 33 else { throw BackupError(SystemError("backup", log.path, code: EFBIG)) }
        try orFail { () throws(SystemError) in try output.write(header.bytes(time: log.changed)) }
        var done: UInt64 = 0
        while done < size {
            let bytes = try read(size - done, at: done)
            guard !bytes.isEmpty else { throw BackupError(SystemError("read", log.path, code: EAGAIN)) }
            try orFail { () throws(SystemError) in try output.write(bytes) }
            done += UInt64(bytes.count)
            progress(UInt64(bytes.count))
        }
        try orFail { () throws(SystemError) in try output.write([UInt8](repeating: 0, count: header.padding)) }
    }
}
