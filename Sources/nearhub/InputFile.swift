internal import ControlClient
internal import Daemon
internal import Glibc
internal import JSON

/// A file that brings a secret: such never stand in the arguments, which every user of a host can see.
struct InputFile {
    /// The largest file that is read, in bytes.
    static let largest = 64 * 1024

    private let path: String
    private let bytes: [UInt8]

    /// Reads a file; `-` is stdin.
    init(_ path: String) throws(Failure) {
        self.path = path == "-" ? "stdin" : printable(path)
        let descriptor = unsafe path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(.inputOutput, self.path, systemMessage(errno)) }
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        var buffer = [UInt8](repeating: 0, count: Self.largest + 1)
        var count = 0
        while count < buffer.count {
            let taken = unsafe buffer.withUnsafeMutableBytes { target in
                unsafe read(descriptor, target.baseAddress.map { unsafe $0 + count }, target.count - count)
            }
            if taken == 0 { break }
            if taken > 0 {
                count += taken
            } else if errno != EINTR {
                throw Failure(.inputOutput, self.path, systemMessage(errno))
            }
        }
        guard count <= Self.largest else {
            throw Failure(.usage, self.path, "has more than \(Self.largest) bytes")
        }
        bytes = Array(buffer.prefix(count))
    }

    /// The whole content without one newline at its end, as a key or secret.
    func text() throws(Failure) -> Text {
        var content = bytes[...]
        if content.last == UInt8(ascii: "\n") { content.removeLast() }
        if content.last == UInt8(ascii: "\r"), content.count < bytes.count { content.removeLast() }
        guard !content.isEmpty else { throw Failure(.usage, path, "is empty") }
        guard !content.contains(0), String(validating: content, as: UTF8.self) != nil else {
            throw Failure(.usage, path, "is not UTF-8 text")
        }
        return Text(utf8: Array(content))
    }

    /// The content as a JSON object.
    func object() throws(Failure) -> JSONObject {
        do {
            guard let object = try JSONValue.parse(bytes).object else {
                throw Failure(.usage, path, "is not a JSON object")
            }
            return object
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.usage, path, "\(error)")
        }
    }

    /// A failure that names this file.
    func unusable(_ why: String, _ advice: String? = nil) -> Failure {
        Failure(.usage, path, why, advice)
    }

    /// Refuses arguments that want to read stdin twice.
    static func refuseTwoStandardInputs(_ paths: String?...) throws(Failure) {
        guard paths.count(where: { $0 == "-" }) > 1 else { return }
        throw Failure(
            .usage, "usage", "stdin (-) can be read for one option only", "use a file for the others")
    }
}
