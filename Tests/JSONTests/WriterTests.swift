internal import JSON
internal import TestSupport
internal import Testing

@Suite("What is written as JSON")
struct WriterTests {
    @Test(arguments: [
        ("", ""), ("plain", "plain"), ("\"\\", #"\"\\"#), ("/<>&='", "/<>&='"),
        ("\u{8}\u{9}\u{A}\u{C}\u{D}", #"\b\t\n\f\r"#),
        ("\u{0}\u{1}\u{B}\u{E}\u{1A}\u{1F}", #"\u0000\u0001\u000b\u000e\u001a\u001f"#),
        ("\u{7F}\u{80}\u{9F}", "\u{7F}\u{80}\u{9F}"),
        ("\u{2027}\u{2028}\u{2029}\u{202A}", "\u{2027}\\u2028\\u2029\u{202A}"),
        ("Zähler 😀", "Zähler 😀"), ("\u{10FFFF}\u{FEFF}", "\u{10FFFF}\u{FEFF}"), ("€\"", #"€\""#),
        ("-----BEGIN CERTIFICATE-----\nMII/+=", #"-----BEGIN CERTIFICATE-----\nMII/+="#),
    ])
    func `text is escaped as ThingsBoard does`(text: String, escaped: String) {
        var json = JSONWriter()
        json.text(Text(text))
        #expect(json.bytes == Array("\"\(escaped)\"".utf8))
        json.bytes = []
        json.beginObject()
        json.name(escaping: Text(text))
        json.null()
        json.endObject()
        #expect(json.bytes == Array("{\"\(escaped)\":null}".utf8))
    }

    @Test func `every control character is escaped, and nothing else of ASCII but two`() {
        for byte in UInt8(0)..<128 {
            var json = JSONWriter()
            json.text(Text(utf8: [byte]))
            let isEscaped = byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
            #expect((json.bytes.count > 3) == isEscaped)
            if !isEscaped { #expect(json.bytes == [0x22, byte, 0x22]) }
        }
    }

    @Test func `an unfinished U+2028 at the end goes out as it is`() {
        for cut: [UInt8] in [[0xE2], [0xE2, 0x80], [0xE2, 0x80, 0xAA], [0xE2, 0x81, 0xA8]] {
            var json = JSONWriter()
            json.text(Text(utf8: cut))
            #expect(json.bytes == [0x22] + cut + [0x22])
        }
    }

    @Test func `commas stand where they belong`() {
        var json = JSONWriter()
        json.beginObject()
        json.member("a", Text?.none)
        json.member("b", "x")
        json.name("c")
        json.beginArray()
        json.beginArray()
        json.endArray()
        json.beginObject()
        json.endObject()
        json.integer(1)
        json.bool(true)
        json.null()
        json.text(",")
        json.text(":")
        json.text("{")
        json.verbatim(Array("[2]".utf8))
        json.verbatim(Array("3".utf8))
        json.endArray()
        json.member("d", 4)
        json.member("e", false)
        json.endObject()
        let expected = #"{"a":null,"b":"x","c":[[],{},1,true,null,",",":","{",[2],3],"d":4,"e":false}"#
        #expect(String(decoding: json.bytes, as: UTF8.self) == expected)
    }

    @Test func `a fresh line begins without a comma`() {
        var json = JSONWriter(Array("{\"a\":1}\n".utf8))
        json.beginObject()
        json.endObject()
        #expect(json.bytes == Array("{\"a\":1}\n{}".utf8))
    }

    @Test func `integers of every size up to 64 bits`() {
        var json = JSONWriter()
        json.beginArray()
        json.integer(0)
        json.integer(Int64.min)
        json.integer(Int64.max)
        json.integer(UInt64.max)
        json.integer(Int8.min)
        json.integer(UInt8.max)
        json.integer(-10)
        json.endArray()
        let expected = "[0,-9223372036854775808,9223372036854775807,18446744073709551615,-128,255,-10]"
        #expect(String(decoding: json.bytes, as: UTF8.self) == expected)
    }

    @Test(arguments: [
        #"{"a":[1,-2,{"b":null}],"c":"x","d":true}"#, "[]", "{}", #"["\u2028\u0001\\"]"#,
        "[1.5,-0.0,1e+16,5e-324,1000.0]",
        #"{"":{"":""}}"#,
    ])
    func `what was written comes back byte by byte`(text: String) throws {
        #expect(written(try value(text)) == text)
    }

    @Test func `random values come back as they went`() throws {
        var random = SeededNumbers(state: 7)
        for round in 0..<2000 {
            let value = JSONValue.object(JSONObject([.init(name: "v", value: randomValue(4, &random))]))
            var json = JSONWriter()
            json.value(value)
            #expect(try JSONValue.parse(json.bytes) == value, "round \(round)")
        }
    }

    @Test func `a member is set in its place, appended, or removed`() {
        var object = JSONObject()
        object["a"] = .integer(1)
        object["b"] = .integer(2)
        object["a"] = .integer(3)
        #expect(written(.object(object)) == #"{"a":3,"b":2}"#)
        object["a"] = nil
        object["c"] = nil
        #expect(written(.object(object)) == #"{"b":2}"#)
        #expect(object["a"] == nil)
    }
}

/// A value of any kind, `depth` levels deep at most.
private func randomValue(_ depth: Int, _ random: inout SeededNumbers) -> JSONValue {
    switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2: return .integer(Int64(bitPattern: random.next() >> UInt64.random(in: 0..<64, using: &random)))
    case 3:
        let real = Double(bitPattern: random.next())
        return .real(real.isFinite ? real : 0.5)
    case 4, 5: return .text(randomText(&random))
    case 6: return .array((0..<Int.random(in: 0..<4, using: &random)).map { _ in randomValue(depth - 1, &random) })
    default:
        var object = JSONObject()
        for _ in 0..<Int.random(in: 0..<4, using: &random) {
            object[randomText(&random)] = randomValue(depth - 1, &random)
        }
        return .object(object)
    }
}

/// Text with every kind of character but NUL, which is never read.
private func randomText(_ random: inout SeededNumbers) -> Text {
    let limits: [UInt32] = [0x20, 0x7F, 0x800, 0x2030, 0xFFFF, 0x10FFFF]
    var text = ""
    for _ in 0..<Int.random(in: 0..<12, using: &random) {
        let number = UInt32.random(in: 1...limits[Int.random(in: 0..<limits.count, using: &random)], using: &random)
        text.unicodeScalars.append(Unicode.Scalar(number) ?? "\u{2028}")
    }
    return Text(text)
}
