public import EventLoop
internal import Glibc

/// Reads the audit log, also while a hub writes it: the last lines, and then what comes.
///
/// A line is handed out once its newline is there. One that was begun when the power went stays a line by itself.
public final class AuditReader {
    private let directory: String
    private var current: ReadFile?

    /// A reader of the log in the given directory.
    public init(directory: String) {
        self.directory = directory
    }

    /// The last lines, oldest first, without their newlines; `next` goes on behind them.
    ///
    /// - Parameter count: the most lines.
    public func last(_ count: Int) throws(SystemError) -> [[UInt8]] {
        current = try ReadFile.open(AuditPaths.path(directory, 0))
        var seen = current.map { [$0.inode] } ?? []
        var lines = try current?.last(count) ?? []
        for index in 1..<AuditPaths.count where lines.count < count {
            // A file that was renamed meanwhile has been read under its old name.
            guard let file = try ReadFile.open(AuditPaths.path(directory, index)), !seen.contains(file.inode) else {
                continue
            }
            seen.append(file.inode)
            lines = try file.last(count - lines.count) + lines
        }
        return lines
    }

    /// The lines that were added since the last call, across a change of files.
    public func next() throws(SystemError) -> [[UInt8]] {
        let path = AuditPaths.path(directory, 0)
        guard let current else {
            self.current = try ReadFile.open(path)
            return try self.current?.rest() ?? []
        }
        var lines = try current.rest()
        var info = stat()
        guard unsafe lstat(path, &info) == 0, info.st_ino != current.inode else { return lines }
        // Nobody writes to the old file any more: what is in it now is all.
        lines += try current.rest()
        self.current = try ReadFile.open(path)
        return lines + (try self.current?.rest() ?? [])
    }
}

/// One file, read from its beginning on.
private final class ReadFile {
    let inode: ino_t
    private let path: String
    private let file: FileDescriptor
    private var offset: off_t = 0
    private var unfinished: [UInt8] = []

    private init(_ path: String, _ file: consuming FileDescriptor) throws(SystemError) {
        var info = stat()
        let raw = file.raw
        try system("fstat", path) { unsafe fstat(raw, &info) }
        inode = info.st_ino
        self.path = path
        self.file = file
    }

    /// Opens a file; nil when it is not there.
    static func open(_ path: String) throws(SystemError) -> ReadFile? {
        let file: FileDescriptor
        do { file = try .open(path, O_RDONLY | O_NONBLOCK) } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
        return try ReadFile(path, file)
    }

    /// The last lines of what is not read yet; reads to the end.
    func last(_ count: Int) throws(SystemError) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        while true {
            let chunk = try self.chunk()
            guard let chunk else { return lines.suffix(count) }
            lines += chunk
            if lines.count > 2 * count { lines.removeFirst(lines.count - count) }
        }
    }

    /// All that is not read yet.
    func rest() throws(SystemError) -> [[UInt8]] { try last(Int.max / 2) }

    /// The lines that end in the next piece; nil at the end.
    private func chunk() throws(SystemError) -> [[UInt8]]? {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let raw = file.raw
        let count = try system("read", path) { unsafe pread(raw, &buffer, buffer.count, offset) }
        guard count > 0 else { return nil }
        offset += off_t(count)
        var parts = (unfinished + buffer.prefix(count)).split(
            separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        unfinished = parts.popLast().map(Array.init) ?? []
        return parts.filter { !$0.isEmpty }.map(Array.init)
    }
}
