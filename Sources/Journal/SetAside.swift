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
    /// Whether it can have been about nothing but the one whose id is given, or nobody if it is a mark.
    public var isAttributed: Bool

    /// Such as `devices.jsonl: line 12 at byte 4711, 412 bytes, seq 11, id 2f1c…: no whole line`.
    public var description: String {
        var text = "\(file): line \(line) at byte \(offset), \(length) bytes"
        if let seq { text += ", seq \(seq)" }
        if let id { text += ", id \(id)" }
        return "\(text): \(why)"
    }

    /// What can be told of a segment of a log.
    ///
    /// A damaged stretch may be several lines whose newlines are lost. It is attributed only if it has the marks of one
    /// record: its beginning, one id and its end, once each, and all of it is text.
    init(_ segment: Segment, of file: LogFile, why: String) throws(SystemError) {
        var bytes = [UInt8](repeating: 0, count: Int(min(segment.length, UInt64(Line.limit))))
        let count =
            segment.unreadable == segment.offset ? 0 : try file.read(into: &bytes, 0..<bytes.count, at: segment.offset)
        bytes.removeSubrange(count...)
        let id = Self.id(in: bytes[..<min(bytes.count, 512)])
        self.file = file.path
        offset = segment.offset
        length = segment.length
        line = segment.number
        seq = Self.seq(in: bytes)
        self.id = id
        self.why = why
        let isText = segment.unreadable == nil && count == segment.length && !bytes.dropLast().contains { $0 < 0x20 }
        isAttributed = isText && (Self.isMark(bytes) || id != nil && Self.isOneRecord(bytes))
    }

    /// Records that are not there any more, though the numbers of others say that they were.
    ///
    /// - Parameters:
    ///   - what: which records, for people.
    ///   - seq: the first one's number, where it is known.
    ///   - offset: where they would be, at the latest.
    ///   - line: the line there.
    ///   - file: the log.
    init(missing what: String, seq: UInt64? = nil, at offset: UInt64, line: UInt64, of file: LogFile) {
        self.file = file.path
        self.offset = offset
        length = 0
        self.line = line
        self.seq = seq
        id = nil
        why = "\(what) are not there"
        isAttributed = false
    }

    /// Whether it may have been about the device or profile of this id.
    ///
    /// The id itself may be what is damaged: one that differs in a few digits may be it.
    public func mayBeAbout(_ other: some Collection<UInt8>) -> Bool {
        guard isAttributed else { return true }
        guard let id, other.count == id.utf8.count else { return false }
        var differing = 0
        for (digit, otherDigit) in zip(id.utf8, other) where digit != otherDigit {
            differing += 1
            if differing > 8 { return false }
        }
        return true
    }

    private static func isMark(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: #"{"mark":"sync","durable":"#.utf8) && bytes.count <= 4096
            && count("{\"", in: bytes) == 1 && count("}", in: bytes) <= 1
    }

    private static func isOneRecord(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: #"{"seq":"#.utf8) && count(#","durable":"#, in: bytes) == 1
            && count(#","at":""#, in: bytes) == 1
            && count(#","op":""#, in: bytes) == 1 && count(#","xxh3":""#, in: bytes) == 1
    }

    private static func count(_ text: StaticString, in bytes: [UInt8]) -> Int {
        let text = Array("\(text)".utf8)
        guard bytes.count >= text.count else { return 0 }
        return (0...(bytes.count - text.count)).count { bytes[$0] == text[0] && bytes[$0...].starts(with: text) }
    }

    private static func seq(in bytes: [UInt8]) -> UInt64? {
        let opening = Array("{\"seq\":".utf8)
        guard bytes.starts(with: opening) else { return nil }
        let digits = bytes[opening.count...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    /// The text at the one place where the id stands, if it has the form of one: elsewhere might be a secret.
    private static func id(in bytes: ArraySlice<UInt8>) -> String? {
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
