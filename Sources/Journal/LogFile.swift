internal import EventLoop
internal import Glibc

/// The open file of a log: shared with the committer, closed when neither needs it any more.
final class LogFile: Sendable {
    /// Where it is, for errors.
    let path: String
    private let descriptor: FileDescriptor

    /// Opens a file; see `FileDescriptor.open`.
    ///
    /// - Parameter name: the path it will have; nil when it stays where it is.
    init(_ path: String, _ flags: CInt, as name: String? = nil) throws(SystemError) {
        self.path = name ?? path
        descriptor = try FileDescriptor.open(path, flags)
    }

    /// What the file system says of it (fstat(2)).
    func status() throws(SystemError) -> stat {
        var status = stat()
        try system("fstat", path) { unsafe fstat(descriptor.raw, &status) }
        return status
    }

    /// Its length in bytes.
    func size() throws(SystemError) -> UInt64 { UInt64(clamping: try status().st_size) }

    /// Reads at most as many bytes as the range of the buffer holds; fewer only at the end of the file, or before bytes
    /// that the disk does not give.
    ///
    /// - Throws: the error of the first byte wanted, naming its place.
    func read(into buffer: inout [UInt8], _ range: Range<Int>, at offset: UInt64) throws(SystemError) -> Int {
        var done = 0
        while done < range.count {
            let count: Int
            do {
                count = try system("pread", "\(path) at byte \(offset + UInt64(done))") {
                    unsafe buffer.withUnsafeMutableBytes { bytes in
                        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[range].dropFirst(done))
                        return unsafe pread(
                            descriptor.raw, rest.baseAddress, rest.count, off_t(clamping: offset) + off_t(done))
                    }
                }
            } catch {
                if done > 0, error.isUnreadable { return done }
                throw error
            }
            guard count > 0 else { break }
            done += count
        }
        return done
    }

    /// Writes all bytes, however often the kernel takes only some of them.
    func write(_ bytes: [UInt8], count: Int? = nil, at offset: UInt64) throws(SystemError) {
        let total = count ?? bytes.count
        var done = 0
        while done < total {
            let count = try system("pwrite", path) {
                unsafe bytes.withUnsafeBytes { bytes in
                    let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done..<total])
                    return unsafe pwrite(
                        descriptor.raw, rest.baseAddress, rest.count, off_t(clamping: offset) + off_t(done))
                }
            }
            guard count > 0 else { throw SystemError("pwrite", path, code: EIO) }
            done += count
        }
    }

    /// Waits until what was written is on disk (fdatasync(2)).
    ///
    /// After a failure the file must not be used any more.
    func sync() throws(SystemError) {
        try system("fdatasync", path) { fdatasync(descriptor.raw) }
    }

    /// Like `sync`, with all attributes; for directories, whose names it makes durable (fsync(2)).
    func syncAll() throws(SystemError) {
        try system("fsync", path) { fsync(descriptor.raw) }
    }

    /// Makes the kernel forget what it holds in memory of the file, so that the next read asks the medium; all of it if `end` is 0.
    func dropCache(upTo end: UInt64 = 0) {
        _ = posix_fadvise(descriptor.raw, 0, off_t(clamping: end), POSIX_FADV_DONTNEED)
    }

    /// Cuts the file to the given length.
    func truncate(to size: UInt64) throws(SystemError) {
        try system("ftruncate", path) { ftruncate(descriptor.raw, off_t(clamping: size)) }
    }
}
