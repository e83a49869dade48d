public import Glibc

/// Owns one open file descriptor and closes it at the end of its life.
public struct FileDescriptor: ~Copyable, Sendable {
    /// The number; valid as long as this value lives.
    public let raw: CInt

    /// Takes over an open descriptor.
    public init(owning raw: CInt) {
        self.raw = raw
    }

    deinit { close(raw) }

    /// Gives the descriptor to another owner.
    public consuming func relinquish() -> CInt {
        let raw = raw
        discard self
        return raw
    }

    /// Opens a file (open(2)); always close-on-exec, never through a symbolic link in the last component.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - flags: `O_RDWR`, `O_CREAT` and the like.
    ///   - mode: permissions of a new file.
    /// - Throws: the failed call with the path.
    public static func open(_ path: String, _ flags: CInt, mode: mode_t = 0o600) throws(SystemError) -> FileDescriptor {
        FileDescriptor(
            owning: try system("open", path) { unsafe Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode) })
    }
}

/// The path from the root, without symbolic links (realpath(3)); a path that is not there stays as it is.
public func absolutePath(_ path: String) -> String {
    guard let resolved = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
}
