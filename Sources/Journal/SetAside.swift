internal import EventLoop

/// A line that a repair leaves out of the log; says itself in one line for people, without anything that may be secret.
public struct SetAside: Sendable, Hashable, CustomStringConvertible {
    /// The path of the log.
    public let file: String
    /// Where it begins, in bytes.
    public let offset: UInt64
    /// How long it is, in bytes.
    public let length: UInt64
    /// Counted from 1, as an editor does.
    public let line: UInt64
    /// Its number, as far as it can still be read.
    public let seq: UInt64?
    /// The id of the device or profile that it was about, as far as it can still be read.
    public let id: String?
    /// What is wrong with it.
    public let why: String

    /// Such as `devices.jsonl: line 12 at byte 4711, 412 bytes, seq 11, id 2f1c…: no whole line`.
    public var description: String {
        var text = "\(file): line \(line) at byte \(offset), \(length) bytes"
        if let seq { text += ", seq \(seq)" }
        if let id { text += ", id \(id)" }
        return "\(text): \(why)"
    }

    /// What can be told of a segment of a log.
    init(_ segment: Segment, of file: LogFile, why: String) throws(SystemError) {
        var bytes = [UInt8](repeating: 0, count: Int(min(segment.length, 512)))
        let count = try file.read(into: &bytes, 0..<bytes.count, at: segment.offset)
        bytes.removeSubrange(count...)
        self.file = file.path
        offset = segment.offset
        length = segment.length
        line = segment.number
        seq = Self.seq(in: bytes)
        id = Self.id(in: bytes)
        self.why = why
    }

    private static func seq(in bytes: [UInt8]) -> UInt64? {
        let opening = Array("{\"seq\":".utf8)
        guard bytes.starts(with: opening) else { return nil }
        let digits = bytes[opening.count...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    /// The text at the one place where the id stands, if it has the form of one: elsewhere might be a secret.
    private static func id(in bytes: [UInt8]) -> String? {
        for opening in [#""device":{"id":""#, #""profile":{"id":{"entityType":"DEVICE_PROFILE","id":""#] {
            let opening = Array(opening.utf8)
            for start in bytes.indices.dropLast(opening.count + 36)
            where bytes[start] == opening[0] && bytes[start...].starts(with: opening) {
                let id = bytes[(start + opening.count)...].prefix(36)
                return isUUID(id) ? String(decoding: id, as: UTF8.self) : nil
            }
        }
        return nil
    }

    private static func isUUID(_ bytes: ArraySlice<UInt8>) -> Bool {
        zip(0..., bytes).allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "-"): [8, 13, 18, 23].contains(index)
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"):
                ![8, 13, 18, 23].contains(index)
            default: false
            }
        }
    }
}
