internal import JSON
internal import TestSupport
internal import Testing

@Suite("What is refused as JSON")
struct RefusalTests {
    @Test(
        arguments: [
            ("", .truncated), ("   ", .truncated), ("{", .truncated), (#"{"a""#, .truncated), (#"{"a":"#, .truncated),
            (#"{"a":1"#, .truncated), ("[1,", .truncated), (#"["a"#, .truncated),
            ("{} x", .trailing), ("{}{}", .trailing), ("[1]]", .trailing), ("{}\u{0}", .trailing),
            ("1", .syntax), ("null", .syntax), (#""x""#, .syntax), ("bareword", .syntax),
            (#"{"a":1,}"#, .syntax), ("[1,]", .syntax), ("[,1]", .syntax), (#"{"a" 1}"#, .syntax), ("{a:1}", .syntax),
            ("{'a':1}", .syntax), (#"{"a"=1}"#, .syntax), (#"{"a":1;"b":2}"#, .syntax), ("{1:1}", .syntax),
            ("[01]", .syntax), ("[+1]", .syntax), ("[.5]", .syntax), ("[1.]", .syntax), ("[1e]", .syntax),
            ("[-]", .syntax), ("[0x10]", .syntax), ("[NaN]", .syntax), ("[Infinity]", .syntax),
            ("[-Infinity]", .syntax),
            ("[True]", .syntax), ("[nul]", .syntax), ("/**/[]", .syntax), ("[1]//", .trailing), ("#\n[]", .syntax),
            (")]}'\n[]", .syntax), (#"["\x"]"#, .syntax), (#"["\u12"]"#, .syntax), (#"["\u12g4"]"#, .syntax),
            ("[\"a\nb\"]", .syntax), ("[\"\t\"]", .syntax), ("[\"\u{1F}\"]", .syntax), ("[\u{A0}1]", .syntax),
        ] as [(String, JSONError.Problem)])
    func `text that is not RFC 8259`(text: String, problem: JSONError.Problem) {
        #expect(refusal(Array(text.utf8))?.problem == problem)
    }

    @Test func `the malformed bodies of the wire contract`() throws {
        let wanted = ["mal-001", "mal-003", "mal-005", "mal-006", "mal-007", "mal-009", "mal-010"]
        let cases = try protocolCases().filter { wanted.contains($0["id"]?.text?.description ?? "") }
        #expect(cases.count == wanted.count)
        for json in cases {
            let raw = try #require(json["request"]?["raw"]?.text)
            #expect(refusal(raw.utf8) != nil, "\(json["id"] ?? .null)")
        }
    }

    @Test(
        arguments: [
            [0x80], [0xBF], [0xFF], [0xFE], [0xC0, 0x80], [0xC1, 0xBF], [0xC0, 0xAF],
            [0xE0, 0x80, 0xAF], [0xE0, 0x9F, 0xBF], [0xF0, 0x80, 0x80, 0xAF], [0xF0, 0x8F, 0xBF, 0xBF],
            [0xED, 0xA0, 0x80], [0xED, 0xAF, 0xBF], [0xED, 0xB0, 0x80], [0xED, 0xBF, 0xBF],
            [0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80],
            [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80],
            [0xFC, 0x84, 0x80, 0x80, 0x80, 0x80],
            [0xC3], [0xC3, 0x28], [0xE2, 0x82], [0xE2, 0x28, 0xA1], [0xE2, 0x82, 0x28],
            [0xF0, 0x9F, 0x98], [0xF0, 0x28, 0x8C, 0xBC], [0xF0, 0x9F, 0x98, 0x28], [0xC3, 0xC3, 0xA9],
        ] as [[UInt8]])
    func `bytes that are not UTF-8, in a value, in a name and bare`(bytes: [UInt8]) {
        #expect(refusal(Array("[\"x".utf8) + bytes + Array("y\"]".utf8))?.problem == .utf8)
        #expect(refusal(Array("{\"".utf8) + bytes + Array("\":1}".utf8))?.problem == .utf8)
        #expect(refusal(Array("[\"x".utf8) + bytes) != nil)
        #expect(refusal(Array("[".utf8) + bytes + Array("]".utf8)) != nil)
    }

    @Test(arguments: [
        #"\ud800"#, #"\udbff"#, #"\udc00"#, #"\udfff"#, #"\ud800x"#, #"\ud800\n"#, #"\ud800\u0041"#, #"\ud800\ud800"#,
        #"\udc00\ud800"#,
    ])
    func `lone surrogate escapes`(escape: String) {
        #expect(refusal(Array("[\"\(escape)\"]".utf8)) != nil)
        #expect(refusal(Array("{\"\(escape)\":1}".utf8)) != nil)
    }

    @Test func `NUL, raw and escaped, in values, in names and between them`() {
        #expect(refusal(Array(#"["a\u0000b"]"#.utf8))?.problem == .nul)
        #expect(refusal(Array(#"{"a\u0000b":1}"#.utf8))?.problem == .nul)
        #expect(refusal(Array("[\"a\u{0}b\"]".utf8)) != nil)
        #expect(refusal(Array("{\"a\u{0}b\":1}".utf8)) != nil)
        #expect(refusal(Array("[\u{0}1]".utf8)) != nil)
        #expect(refusal(Array("\u{0}[1]".utf8)) != nil)
        #expect(refusal(Array("[1]\u{0}".utf8)) != nil)
    }

    @Test(arguments: [
        "1e999", "-1e999", "1e309", "1234567890123456789012345678901234567890",
        "-1234567890123456789012345678901234567890",
        "9223372036854775808", "-9223372036854775809", "1" + String(repeating: "0", count: 400) + ".0",
    ])
    func `numbers out of range`(number: String) {
        #expect(refusal(Array("[\(number)]".utf8))?.problem == .range)
    }

    @Test func `every prefix of a request`() throws {
        let whole = Array(
            #"{"deviceName":"é\uD83D\uDE00","provisionDeviceKey":"k","provisionDeviceSecret":"s","gateway":true,"n":[1.5e3,-7,null]}"#
                .utf8)
        #expect(refusal(whole) == nil)
        for length in whole.indices {
            #expect(refusal(Array(whole[..<length])) != nil, "the first \(length) bytes")
        }
    }

    @Test func `an error names a place and never the input`() throws {
        let canary = "Xq7Canary"
        let inputs = [
            "{\"\(canary)\":\(canary)}", "{\"a\":\"\(canary)", "[\"\(canary)\"] \(canary)", "{\"\(canary)\" \"x\"}",
            "[\"\(canary)\\u0000\"]", "[\"\(canary)\\ud800\"]", "{\"\(canary)\\u0000\":1}", canary, "[\(canary)]",
            "[1e999,\"\(canary)\"]",
            String(repeating: "[", count: 20) + "\"\(canary)\"" + String(repeating: "]", count: 20),
            "['\(canary)']", "[\"\(canary)\\q\"]", "[\"\(canary)\n\"]",
        ]
        for bytes in inputs.map({ Array($0.utf8) }) + [Array("[\"\(canary)".utf8) + [0xFF, 0x22, 0x5D]] {
            let error = try #require(refusal(bytes))
            var dumped = ""
            dump(error, to: &dumped)
            for text in [error.description, String(reflecting: error), dumped] {
                #expect(!text.contains("Canary") && !text.contains("Xq7"))
            }
            #expect(error.offset ?? 0 <= bytes.count)
        }
        #expect(refusal(Array("{} x".utf8))?.description == "not valid JSON: more text follows the value at byte 4")
    }

    @Test func `random bytes and random damage never trap`() throws {
        var random = SeededNumbers(state: 1)
        let whole = Array(#"{"a":[1,2.5e-3,"é\u00e9\ud83d\ude00"],"b":{"c":null,"d":[true,false]}}"#.utf8)
        var refused = 0
        for _ in 0..<5000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch UInt8.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
                default: bytes.remove(at: place)
                }
            }
            if refusal(bytes) != nil { refused += 1 }
        }
        #expect(refused > 4000 && refused < 5000)
    }
}
