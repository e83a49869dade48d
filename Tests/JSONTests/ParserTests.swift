internal import JSON
internal import Testing

@Suite("What is read as JSON")
struct ParserTests {
    @Test(
        arguments: [
            ("{}", .object(JSONObject())), ("[]", .array([])),
            (#"[null,true,false]"#, .array([.null, .bool(true), .bool(false)])),
            ("[0,-1,42]", .array([.integer(0), .integer(-1), .integer(42)])),
            ("[9223372036854775807,-9223372036854775808]", .array([.integer(.max), .integer(.min)])),
            ("[1.5,1e3,-0.0]", .array([.real(1.5), .real(1000), .real(-0.0)])),
            (
                #"{"a":{"b":[]}}"#,
                .object(
                    JSONObject([.init(name: "a", value: .object(JSONObject([.init(name: "b", value: .array([]))])))]))
            ),
            (#"["\u00e9\uD83D\uDE00\"\\\/\b\f\n\r\t"]"#, .array([.text("é😀\"\\/\u{8}\u{C}\n\r\t")])),
            ("[\"\u{7F}\u{80}\u{2028}\u{FFFF}\u{10FFFF}\"]", .array([.text("\u{7F}\u{80}\u{2028}\u{FFFF}\u{10FFFF}")])),
            (" \t\r\n[ 1 , 2 ]\r\n\n", .array([.integer(1), .integer(2)])),
            ("[1e-999]", .array([.real(0)])),
        ] as [(String, JSONValue)])
    func `every kind of value`(text: String, expected: JSONValue) throws {
        #expect(try value(text) == expected)
    }

    @Test func `a leading byte order mark is skipped, a second one refused`() throws {
        #expect(try value("\u{FEFF}[1]") == .array([.integer(1)]))
        #expect(refusal(Array("\u{FEFF}\u{FEFF}[1]".utf8)) != nil)
        #expect(refusal(Array("[\u{FEFF}1]".utf8)) != nil)
        #expect(refusal([0xEF, 0xBB, 0xBF])?.problem == .truncated)
        #expect(refusal([0xEF, 0xBB]) != nil)
    }

    @Test func `of duplicate members the last wins, at the place of the first`() throws {
        let json = try value(#"{"a":1,"b":2,"\u0061":[],"b":null,"a":"x"}"#)
        #expect(json == .object(JSONObject([.init(name: "a", value: .text("x")), .init(name: "b", value: .null)])))
    }

    @Test func `members keep their order`() throws {
        let names = (0..<200).map { Text("m\(($0 * 7919) % 200)") }
        let text = names.map { "\"\($0)\":0" }.joined(separator: ",")
        #expect(try value("{\(text)}").object?.members.map(\.name) == names)
    }

    @Test func `names that look the same and are not stay apart`() throws {
        let json = try value("{\"\u{E9}\":1,\"e\u{301}\":2}")
        #expect(json["\u{E9}"] == .integer(1))
        #expect(json["e\u{301}"] == .integer(2))
    }

    @Test(arguments: [("[", "]"), ("{\"a\":", "}")]) func `nesting of 16 is read, of 17 refused`(
        open: String, close: String
    ) throws {
        func nested(_ depth: Int) -> [UInt8] {
            let inner = open == "[" ? "[]" : "{}"
            let text =
                String(repeating: open, count: depth - 1) + inner + String(repeating: close, count: depth - 1)
            return Array(text.utf8)
        }
        #expect(refusal(nested(16)) == nil)
        #expect(refusal(nested(17))?.description == "nesting over 16")
        #expect(refusal(nested(2000))?.problem == .nesting)
    }

    @Test(arguments: [
        String(repeating: "[", count: 100_000),
        String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000),
        String(repeating: "{\"a\":", count: 100_000) + "1" + String(repeating: "}", count: 100_000),
        String(repeating: "{\"a\":[", count: 50_000),
    ])
    func `100,000 brackets are refused`(text: String) {
        let error = refusal(Array(text.utf8))
        #expect(error?.problem == .nesting)
        #expect(error?.offset == nil)
    }
}
