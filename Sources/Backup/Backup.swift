internal import EventLoop
internal import Glibc
internal import Journal
internal import Store

/// Writes the state of a hub, running or not, into one archive that any tar can list.
///
/// A log never changes below its end, so that a copy of it is a state it has had. Each file goes up to its last whole
/// line, and devices before profiles: a device that came meanwhile may be missing, none is without its profile. What a
/// power cut left behind the last good line is no part of it.
public enum Backup {
    /// Writes the archive.
    ///
    /// - Parameters:
    ///   - directory: the state directory.
    ///   - file: the archive to make, which must not be there; `-` for standard output.
    ///   - progress: is told how many bytes of how many are written.
    /// - Returns: what is in the state.
    /// - Throws: damage in the state, before anything is written, and failures of the disk.
    public static func write(
        _ directory: String, to file: String, progress: (UInt64, UInt64) -> Void
    ) throws(BackupError) -> BackupContents {
        let state = absolutePath(directory)
        for name in StateFile.allCases where name.isNeeded {
            try orFail { () throws(SystemError) in _ = try ByteFile("\(state)/\(name.rawValue)", O_RDONLY) }
        }
        let inodes = inodes(state)
        let found: Store.Inspection
        do { found = try Store.inspect(state) } catch {
            throw BackupError(error, "nothing was written; copy the directory with cp to keep what is there")
        }
        guard file != "-" else {
            try orFail { () throws(SystemError) in
                let output = ByteFile(path: "stdout", owning: dup(STDOUT_FILENO))
                try archive(found.recoveries, inodes, output, state, progress)
            }
            return BackupContents(found)
        }
        let output: ByteFile
        do { output = try ByteFile(file, O_WRONLY | O_CREAT | O_EXCL) } catch {
            guard error.code == EEXIST else { throw BackupError(error) }
            throw BackupError(.refused, "\(file) is there already; give another name or remove it")
        }
        do throws(SystemError) {
            try output.permit(0o600)
            try archive(found.recoveries, inodes, output, state, progress)
            try output.sync()
            try syncDirectory(parent(of: file))
        } catch {
            unsafe unlink(file)
            throw BackupError(error)
        }
        return BackupContents(found)
    }

    private static func archive(
        _ recoveries: [Recovery], _ inodes: [StateFile: ino_t], _ output: borrowing ByteFile, _ state: String,
        _ progress: (UInt64, UInt64) -> Void
    ) throws(SystemError) {
        let total = sizes(state)
        var done: UInt64 = 0
        for name in StateFile.allCases {
            let path = "\(state)/\(name.rawValue)"
            guard unsafe name.isNeeded || access(path, F_OK) == 0 else { continue }
            let log = try ByteFile(path, O_RDONLY)
            let info = try log.information()
            // What a compaction has put in the place of what was inspected has no unfinished batch but its last line.
            let recovery = info.st_ino == inodes[name] ? recoveries.first { $0.file == log.path } : nil
            let broken = try recovery?.brokenLines()
            let size = try log.wholeLines(in: broken ?? UInt64(info.st_size))
            let header = TarHeader(file: name.rawValue, size: size)
            guard header.size < 1 << 33 else { throw SystemError("backup", log.path, code: EFBIG) }
            try output.write(header.bytes(time: UInt64(max(0, info.st_mtim.tv_sec))))
            var rest = header.size
            while rest > 0 {
                let bytes = try log.read(Int(min(rest, UInt64(ByteFile.chunk))))
                guard !bytes.isEmpty else { throw SystemError("read", log.path, code: EAGAIN) }
                try output.write(bytes)
                rest -= UInt64(bytes.count)
                done += UInt64(bytes.count)
                progress(done, max(done, total))
            }
            try output.write([UInt8](repeating: 0, count: header.padding))
        }
        try output.write([UInt8](repeating: 0, count: 2 * TarHeader.blockSize))
    }

    /// Which files the logs are.
    private static func inodes(_ state: String) -> [StateFile: ino_t] {
        var inodes: [StateFile: ino_t] = [:]
        for name in StateFile.allCases {
            var info = stat()
            if unsafe stat("\(state)/\(name.rawValue)", &info) == 0 { inodes[name] = info.st_ino }
        }
        return inodes
    }

    private static func sizes(_ state: String) -> UInt64 {
        StateFile.allCases.reduce(0) { sum, name in
            var info = stat()
            return unsafe stat("\(state)/\(name.rawValue)", &info) == 0 ? sum + UInt64(info.st_size) : sum
        }
    }
}
