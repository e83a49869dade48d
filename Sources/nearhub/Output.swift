internal import Daemon
internal import Glibc
internal import JSON

/// What a command writes: answers to stdout, complaints to stderr.
enum Output {
    /// Writes one JSON document and a line feed.
    static func write(_ value: JSONValue) throws(Failure) {
        var writer = JSONWriter()
        writer.value(value)
        try write(writer.bytes + [UInt8(ascii: "\n")])
    }

    /// Writes text and a line feed.
    static func write(_ text: String) throws(Failure) {
        try write(Array(text.utf8) + [UInt8(ascii: "\n")])
    }

    /// Writes all bytes to stdout (write(2)); a full disk or a closed pipe is a failure, not a silence.
    static func write(_ bytes: [UInt8]) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { buffer in
                unsafe Glibc.write(STDOUT_FILENO, buffer.baseAddress, buffer.count)
            }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                throw Failure(.inputOutput, "stdout", systemMessage(errno))
            }
        }
    }

    /// Writes one line to stderr.
    static func complain(_ line: String) {
        let bytes = Array(line.utf8) + [UInt8(ascii: "\n")]
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}

/// What an error number means (strerror(3)).
func systemMessage(_ code: CInt) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
}
