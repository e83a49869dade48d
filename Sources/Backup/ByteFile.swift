internal import EventLoop
internal import Glibc

/// A file that is read or written from its beginning to its end.
struct ByteFile: ~Copyable {
    /// How much is read or written at once.
    static let chunk = 1 << 18

    /// Where it is, for errors.
    let path: String
    private let file: FileDescriptor

    /// Opens or makes a file, for its owner only; see `FileDescriptor.open`.
    init(_ path: String, _ flags: CInt) throws(SystemError) {
        self.path = path
        file = try FileDescriptor.open(path, flags, mode: 0o600)
    }

    /// Takes over a descriptor, such as standard input.
    init(path: String, owning descriptor: CInt) {
        self.path = path
        file = FileDescriptor(owning: descriptor)
    }

    /// What the file system says of it (fstat(2)).
    func information() throws(SystemError) -> stat {
        var info = stat()
        let raw = file.raw
        try system("fstat", path) { unsafe fstat(raw, &info) }
        return info
    }

    /// Reads until there are so many bytes or the file ends.
    func read(_ count: Int) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        let raw = file.raw
        while filled < count {
            let more = try system("read", path) {
                unsafe bytes.withUnsafeMutableBytes { buffer in
                    unsafe Glibc.read(raw, buffer.baseAddress?.advanced(by: filled), count - filled)
                }
            }
            if more == 0 { break }
            filled += more
        }
        return Array(bytes.prefix(filled))
    }

    /// Writes all bytes, however often the kernel takes only some of them.
    func write(_ bytes: [UInt8]) throws(SystemError) {
        var written = 0
        let raw = file.raw
        while written < bytes.count {
            written += try system("write", path) {
                unsafe bytes.withUnsafeBytes { buffer in
                    unsafe Glibc.write(raw, buffer.baseAddress?.advanced(by: written), buffer.count - written)
                }
            }
        }
    }

    /// Gives it to another user, if it is not theirs already.
    func give(to owner: (user: uid_t, group: gid_t)?) throws(SystemError) {
        guard let owner else { return }
        let raw = file.raw
        try system("fchown", path) { fchown(raw, owner.user, owner.group) }
    }

    /// Sets the permissions whatever the process's mask is.
    func permit(_ mode: mode_t) throws(SystemError) {
        let raw = file.raw
        try system("fchmod", path) { fchmod(raw, mode) }
    }

    /// Waits until it is on disk with its attributes, or a directory with its names (fsync(2)).
    func sync() throws(SystemError) {
        let raw = file.raw
        try system("fsync", path) { fsync(raw) }
    }
}

/// The directory that a path lies in.
func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// Brings the names in a directory to disk; it may be a symbolic link.
func syncDirectory(_ path: String) throws(SystemError) {
    try ByteFile(path + "/.", O_RDONLY | O_DIRECTORY).sync()
}
