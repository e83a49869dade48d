internal import EventLoop
internal import Glibc

/// The files of the audit log: `audit.jsonl`, and older ones as `audit.jsonl.1` to `.4`.
enum AuditPaths {
    /// How many files there are at most.
    static let count = 5

    /// The path of a file; 0 is the newest.
    static func path(_ directory: String, _ index: Int) -> String {
        "\(directory)/audit.jsonl\(index == 0 ? "" : ".\(index)")"
    }

    /// Makes room for a new `audit.jsonl`; the oldest file goes.
    static func rotate(_ directory: String) throws(SystemError) {
        for index in stride(from: count - 2, through: 0, by: -1) {
            let old = path(directory, index)
            do { try system("rename", old) { unsafe rename(old, path(directory, index + 1)) } } catch {
                if error.code != ENOENT { throw error }
            }
        }
    }
}

/// The newest file, open for appending.
final class AuditFile {
    private let path: String
    private let file: FileDescriptor
    /// Whether what is there ends in the middle of a line, as after a power cut.
    private var isTorn: Bool

    /// Opens or makes the file; nobody but its owner may read it from then on.
    init(_ path: String) throws(SystemError) {
        self.path = path
        file = try FileDescriptor.open(path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK)
        isTorn = false
        let info = try information()
        guard info.st_mode & S_IFMT == Glibc.S_IFREG else { throw SystemError("open", path, code: EINVAL) }
        let raw = file.raw
        if info.st_mode & 0o777 != 0o600 { try system("fchmod", path) { fchmod(raw, 0o600) } }
        if info.st_size > 0 {
            var last: UInt8 = 0
            try system("read", path) { unsafe pread(raw, &last, 1, info.st_size - 1) }
            isTorn = last != UInt8(ascii: "\n")
        }
    }

    /// Its length; nil when it has been deleted by somebody.
    func size() throws(SystemError) -> Int? {
        let info = try information()
        return info.st_nlink > 0 ? Int(info.st_size) : nil
    }

    /// Appends whole lines, all of them or none.
    ///
    /// - Parameters:
    ///   - lines: each with its newline.
    ///   - size: where the file ends.
    func append(_ lines: [UInt8], at size: Int) throws(SystemError) {
        let bytes = isTorn ? [UInt8(ascii: "\n")] + lines : lines
        let raw = file.raw
        var written = 0
        do throws(SystemError) {
            while written < bytes.count {
                written += try system("write", path) {
                    unsafe bytes.withUnsafeBytes { buffer in
                        unsafe write(raw, buffer.baseAddress?.advanced(by: written), buffer.count - written)
                    }
                }
            }
            isTorn = false
        } catch {
            if written > 0 && ftruncate(raw, off_t(size)) != 0 { isTorn = true }
            throw error
        }
    }

    private func information() throws(SystemError) -> stat {
        var info = stat()
        let raw = file.raw
        try system("fstat", path) { unsafe fstat(raw, &info) }
        return info
    }
}
