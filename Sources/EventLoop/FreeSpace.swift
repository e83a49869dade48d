public import Glibc

/// How much room a file system has, looked up at most once a second.
///
/// What must go on when a disk is nearly full has a reserve: others stop before it is used up. A file system under
/// 16 MiB is too small for one; there everything is written until nothing is left.
public struct FreeSpace {
    private static let interval = Duration.seconds(1)
    private static let smallest: UInt64 = 16 << 20

    private let path: String
    private var next = Duration.zero
    private var free = UInt64.max

    /// The room of the file system on which the path is.
    public init(_ path: String) {
        self.path = path
    }

    /// Bytes that are free for this user; as good as endless when that is unknown, or when there is no reserve.
    public mutating func bytes() -> UInt64 {
        let now = Duration.recent
        guard now >= next else { return free }
        next = now + Self.interval
        var info = statvfs()
        guard unsafe statvfs(path, &info) == 0 else {
            free = .max
            return free
        }
        free = info.bytes(info.f_blocks) < Self.smallest ? .max : info.bytes(info.f_bavail)
        return free
    }
}

extension statvfs {
    /// So many blocks in bytes; a network file system may call itself endless.
    public func bytes(_ blocks: fsblkcnt_t) -> UInt64 {
        let (bytes, isOver) = UInt64(blocks).multipliedReportingOverflow(by: UInt64(f_frsize))
        return isOver ? .max : bytes
    }
}
