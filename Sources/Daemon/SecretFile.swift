internal import EventLoop
internal import Glibc

/// A file with a secret: one line, in a file that only its owner may read.
enum SecretFile {
    /// The longest secret, in bytes.
    private static let longest = 1024

    /// Reads a secret, without the newline at its end.
    ///
    /// The file belongs to root or the hub's user. Others may do nothing with it; its group may read it only if it is
    /// root's file, since then root has decided so (systemd's credentials look like that).
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - key: the key of the configuration that names it.
    static func read(_ path: String, key: String) throws(DaemonError) -> String {
        let file: FileDescriptor
        do { file = try .open(path, O_RDONLY | O_NONBLOCK) } catch {
            throw DaemonError(.configuration, "\(key): \(error)")
        }
        var status = stat()
        guard unsafe fstat(file.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw DaemonError(.configuration, "\(key): \(path) is not a regular file")
        }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw DaemonError(
                .configuration, "\(key): \(path) belongs to another user; chown it to root or the hub's user")
        }
        guard status.st_mode & 0o037 == 0, status.st_mode & 0o040 == 0 || status.st_uid == 0 else {
            throw DaemonError(.configuration, "\(key): other users can read or change \(path); chmod 600 it")
        }
        var buffer = [UInt8](repeating: 0, count: longest + 2)
        let count = unsafe Glibc.read(file.raw, &buffer, buffer.count)
        var bytes = buffer.prefix(max(0, count))
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.count <= longest, !bytes.contains(where: { $0 < 0x20 }),
            let secret = String(validating: bytes, as: UTF8.self)
        else {
            throw DaemonError(.configuration, "\(key): \(path) is not one line of text of 1 to \(longest) bytes")
        }
        return secret
    }
}
