internal import EventLoop
internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

@Suite("The format of a log")
struct FormatTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `lines are these bytes`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        _ = try log.append(.put, at: moment) { writer in
            writer.name("device")
            writer.beginObject()
            writer.name("id")
            writer.text("a")
            writer.name("name")
            writer.text("Zähler \"1\"")
            writer.endObject()
        }
        try journal.flush()
        _ = try log.append(.put, at: moment + 876) {
            $0.name("device"); $0.verbatim(Array(#"{"id":"b"}"#.utf8))
        }
        _ = try log.append(.delete, at: moment + 877) {
            $0.name("device"); $0.verbatim(Array(#"{"id":"a"}"#.utf8))
        }
        try journal.flush()
        log.mark(settled: 2)
        log.mark()
        try journal.flush()
        let bytes = try directory.bytes()
        // The checksums come from another program than this one.
        let expected = #"""
            {"seq":1,"durable":0,"at":"2026-11-24T16:20:22.123Z","op":"put","device":{"id":"a","name":"Zähler \"1\""},"xxh3":"74b6eec68e3ffe46"}
            {"seq":2,"durable":1,"at":"2026-11-24T16:20:22.999Z","op":"put","device":{"id":"b"},"xxh3":"b49ffceac7f9b305"}
            {"seq":3,"durable":1,"at":"2026-11-24T16:20:23.000Z","op":"delete","device":{"id":"a"},"xxh3":"93bf319c48a5513d"}
            {"mark":"sync","durable":3,"settled":2,"xxh3":"447bda6db771079d"}
            {"mark":"sync","durable":3,"xxh3":"9db2ddcdb302d574"}

            """#
        #expect(String(decoding: bytes.dropFirst(head.count), as: UTF8.self) == expected)
    }

    @Test func `a new log has a head with an id of its own`() throws {
        let other = try TemporaryDirectory()
        _ = try open(directory)
        _ = try open(other)
        let bytes = try directory.bytes()
        #expect(bytes.count == head.count)
        #expect(bytes.starts(with: head.prefix(48)))
        #expect(try other.bytes() != bytes)
        #expect(bytes.count == Int(Line.newHeadLength(log: "devices")))
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (1_735_689_599_001, "2024-12-31T23:59:59.001Z"), (Int64.max, "9999-12-31T23:59:59.999Z"),
        (Int64.min, "1970-01-01T00:00:00.000Z"),
    ])
    func `times are RFC 3339`(milliseconds: Int64, text: String) {
        var timestamp = Timestamp()
        for _ in 0..<2 {
            var bytes: [UInt8] = []
            timestamp.append(milliseconds, to: &bytes)
            #expect(String(decoding: bytes, as: UTF8.self) == text)
        }
    }

    @Test(arguments: [
        (0, true), (-1, true), (Int64.min, true), (Duration.earliestMilliseconds - 1, true),
        (Duration.earliestMilliseconds, false), (4_291_747_200_000, false), (Int64.max, false),
    ])
    func `a time before this version was made is marked`(milliseconds: Int64, isMarked: Bool) throws {
        let log = try open(directory).log
        let journal = try journal([log])
        _ = try log.append(.put, at: milliseconds) {
            $0.name("device"); $0.verbatim(Array(#"{"id":"a"}"#.utf8))
        }
        try journal.flush()
        let bytes = try directory.bytes()
        let text = String(decoding: bytes.dropFirst(head.count), as: UTF8.self)
        #expect(text.contains(#"Z","clock":"unset","op":"put","#) == isMarked)
        #expect(try open(directory).seqs == [1])
    }

    @Test func `a line of 128 KiB is written, a longer one refused`() throws {
        let log = try open(directory).log
        let journal = try journal([log])
        let frame = record(1, durable: 0, id: "").count
        try log.put(String(repeating: "x", count: Line.limit - frame))
        #expect(throws: JournalError(.lineTooLong(bytes: Line.limit + 1), file: "\(directory.path)/devices.jsonl")) {
            try log.put(String(repeating: "x", count: Line.limit - frame + 1))
        }
        #expect(log.seq == 1)
        try log.put("y")
        try journal.flush()
        let again = try open(directory)
        #expect(again.seqs == [1, 2])
        #expect(again.recovery.torn == nil)
    }

    @Test(arguments: [
        (Array("\"\\u0000\"".utf8), "a NUL character"), (Array("\"a\nb\"".utf8), "a control character"),
        ([0x22, 0xC3, 0x28, 0x22], "not valid UTF-8"), (Array("{\"a\":1".utf8), "a value that is not closed"),
        (Array("1}}".utf8), "a value that is not closed"), (Array("\"a".utf8), "a value that is not closed"),
        (Array("\"\\".utf8), "a value that is not closed"),
        (Array((String(repeating: "[", count: 16) + String(repeating: "]", count: 16)).utf8), "nesting over 16"),
    ])
    func `a record that could not be read back is refused`(json: [UInt8], why: String) throws {
        let log = try open(directory).log
        #expect(throws: JournalError(.unreadable(why: why), file: "\(directory.path)/devices.jsonl")) {
            try log.append(.put, at: moment) {
                $0.name("device"); $0.verbatim(json)
            }
        }
        #expect(log.seq == 0)
        #expect(log.staging.bytes.isEmpty)
    }

    @Test func `each byte at each place of a text is judged by itself`() {
        for place in 0..<20 {
            for byte in UInt8.min...UInt8.max {
                var text = Array(repeating: UInt8(ascii: "x"), count: 20)
                text[place] = byte
                let why: String? =
                    switch byte {
                    case 0..<0x20: "a control character"
                    case UInt8(ascii: "\""): "a value that is not closed"
                    // `\x` is no escape, which the reader finds; here it hides at most the quote behind it.
                    case UInt8(ascii: "\\"): place == 19 ? "a value that is not closed" : nil
                    case 0x80...: "not valid UTF-8"
                    default: nil
                    }
                #expect(Line.obstacle(in: [0x22] + text + [0x22], from: 0) == why, "byte \(byte) at \(place)")
            }
        }
    }

    @Test func `what looks like trouble and is none can be read back`() throws {
        let log = try open(directory).log
        let texts = [#""\\u0000""#, #""{[[}\"""#, #""\"""#, #""ÄÖ€😀""#, #"[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]"#]
        for text in texts {
            let offset = try log.append(.put, at: moment) {
                $0.name("device"); $0.verbatim(Array(text.utf8))
            }
            #expect(try log.read(at: offset).json["device"] != nil)
        }
    }
}
