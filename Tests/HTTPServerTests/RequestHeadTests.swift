internal import HTTPServer
internal import TestSupport
internal import Testing

/// A head of the given fields.
private func head(_ fields: [(String, String)]) -> RequestHead {
    var head = RequestHead()
    for (name, value) in fields { head.field(Array(name.utf8).span, Array(value.utf8).span) }
    return head
}

extension RequestHead {
    fileprivate func judged(
        _ method: String = "POST", _ target: String = "/api/v1/provision", _ version: String = "HTTP/1.1"
    ) -> RequestFault? {
        verdict(
            method: Array(method.utf8).span, target: Array(target.utf8).span, version: Array(version.utf8).span)
    }
}

@Suite("The head of a request")
struct RequestHeadTests {
    @Test func `an ordinary request is served`() {
        let head = head([("Host", "hub"), ("User-Agent", "curl/8"), ("Content-Length", "12"), ("Accept", "*/*")])
        #expect(head.judged() == nil)
        #expect(head.contentLength == 12)
        #expect(!head.isChunked)
        #expect(!head.expectsContinue)
    }

    @Test func `a body in chunks is served, and names are told apart by no case`() {
        let head = head([("hOsT", "hub"), ("TRANSFER-encoding", "Chunked"), ("expect", "100-continue")])
        #expect(head.judged() == nil)
        #expect(head.isChunked)
        #expect(head.expectsContinue)
        #expect(head.contentLength == nil)
    }

    @Test(
        arguments: [
            ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], 400),
            ([("Transfer-Encoding", "chunked"), ("Content-Length", "5")], 400),
            ([("Content-Length", "5"), ("Content-Length", "3")], 400),
            ([("Content-Length", "5"), ("content-length", "5")], 400),
            ([("Content-Length ", "5")], 400), ([("Content-Length\t", "5")], 400), ([(" Content-Length", "5")], 400),
            ([("Content-Length", "+5")], 400), ([("Content-Length", "-5")], 400), ([("Content-Length", "0x5")], 400),
            ([("Content-Length", "5, 5")], 400), ([("Content-Length", "")], 400), ([("Content-Length", " 5")], 400),
            ([("Content-Length", "5 ")], 400), ([("Content-Length", "5.0")], 400), ([("Content-Length", "٥")], 400),
            ([("Content-Length", "18446744073709551616")], 400), ([("Content-Length", "99999999999999999999")], 400),
            ([("Transfer-Encoding", "xchunked")], 501), ([("Transfer-Encoding", "gzip")], 501),
            ([("Transfer-Encoding", "gzip, chunked")], 501), ([("Transfer-Encoding", "chunked, chunked")], 501),
            ([("Transfer-Encoding", "identity")], 501), ([("Transfer-Encoding", "")], 501),
            ([("Transfer-Encoding", "chunked;x")], 501), ([("Transfer-Encoding", " chunked")], 501),
            ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], 400),
            ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")], 501),
            ([("Transfer-Encoding ", "chunked")], 400), ([("Host", "other")], 400), ([("host", "hub")], 400),
            ([("", "x")], 400), ([("X Y", "x")], 400), ([(" X", "x")], 400), ([("X:", "x")], 400),
            ([("X\u{0}", "x")], 400),
            ([("X-A\ntwo", "x")], 400), ([("X-Ä", "x")], 400), ([("X(", "x")], 400), ([("X\u{7F}", "x")], 400),
            ([("X", "a\rb")], 400), ([("X", "a\nb")], 400), ([("X", "a\u{0}b")], 400), ([("X", "a\u{7F}b")], 400),
            ([("X", "\u{1F}")], 400), ([("X", "a\r\nTransfer-Encoding: chunked")], 400),
        ] as [([(String, String)], Int)])
    func `what request smuggling needs is refused`(fields: [(String, String)], status: Int) {
        #expect(head([("Host", "hub")] + fields).judged()?.status == status)
        #expect(head(fields + [("Host", "hub")]).judged()?.status == status)
    }

    @Test(arguments: ["", " ", "a\tb", "Zähler", "\u{FF}", "a:b;c=\"d\"", "*/*"])
    func `values with blanks, tabs and bytes beyond ASCII are served`(value: String) {
        #expect(head([("Host", "hub"), ("X", value)]).judged() == nil)
    }

    @Test func `names may have every character of a token and no other`() {
        let token = Set("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        for byte in UInt8.min...UInt8.max {
            var head = head([("Host", "hub")])
            head.field([UInt8(ascii: "X"), byte].span, Array("x".utf8).span)
            #expect((head.judged() == nil) == token.contains(byte), "byte \(byte)")
        }
    }

    @Test func `HTTP/1.1 needs a Host, HTTP/1.0 does not and knows no chunks`() {
        #expect(head([]).judged()?.status == 400)
        #expect(head([]).judged("GET", "/health", "HTTP/1.0") == nil)
        #expect(head([("Host", "a"), ("Host", "a")]).judged("GET", "/health", "HTTP/1.0")?.status == 400)
        #expect(head([("Transfer-Encoding", "chunked")]).judged("POST", "/", "HTTP/1.0")?.status == 400)
        #expect(head([("Content-Length", "3")]).judged("POST", "/", "HTTP/1.0") == nil)
    }

    @Test(arguments: [
        "", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/1.", "http/1.1", "HTTP/1.10", "HTTPS/1.1",
    ])
    func `other versions are refused`(version: String) {
        #expect(head([("Host", "hub")]).judged("GET", "/", version)?.status == 505)
    }

    @Test(arguments: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    func `known methods are served`(method: String) {
        #expect(head([("Host", "hub")]).judged(method) == nil)
        #expect(head([("Host", "hub")]).judged(method.lowercased())?.status == 501)
        #expect(head([("Host", "hub")]).judged(method + "S")?.status == 501)
    }

    @Test(arguments: [
        "", "TRACE", "CONNECT", "helloGET", "GE T", "PRI", "G\u{0}T", String(repeating: "A", count: 9000),
    ])
    func `unknown methods are refused`(method: String) {
        #expect(head([("Host", "hub")]).judged(method)?.status == 501)
    }

    @Test(arguments: ["", "*", "http://hub/api", "api", " /", "hub:80", "\u{0}/"])
    func `targets that do not begin with a slash are refused`(target: String) {
        #expect(head([("Host", "hub")]).judged("GET", target)?.status == 400)
    }

    @Test func `64 fields are served, 65 refused`() {
        let value: [UInt8] = []
        var head = head([("Host", "hub")])
        for number in 2...64 { head.field(Array("X-\(number)".utf8).span, value.span) }
        #expect(head.judged() == nil)
        head.field(Array("X".utf8).span, value.span)
        #expect(head.judged()?.status == 431)
    }

    @Test(
        arguments: [("0", 0), ("0000000000000000005", 5), ("9999999999999999999", 9_999_999_999_999_999_999)]
            as [(String, UInt64)])
    func `lengths are decimal`(text: String, length: UInt64) {
        let head = head([("Host", "hub"), ("Content-Length", text)])
        #expect(head.judged() == nil)
        #expect(head.contentLength == length)
    }

    @Test func `a fault names the rule and never the input`() {
        let canary = "Xq7Canary"
        let heads = [
            [("\(canary) ", "x")], [("X", "\(canary)\u{1}")], [("Content-Length", canary)],
            [("Transfer-Encoding", canary)],
        ]
        for fields in heads {
            let message = head([("Host", "hub")] + fields).judged()?.message
            #expect(message?.contains("Canary") == false)
        }
        let host = head([("Host", "hub")])
        let faults = [host.judged(canary), host.judged("GET", canary), host.judged("GET", "/", canary)]
        #expect(faults.allSatisfy { $0?.message.contains("Canary") == false })
    }

    @Test func `random fields never trap, and no served head is ambiguous`() {
        var random = SeededNumbers(state: 5)
        let names = ["Host", "Content-Length", "Transfer-Encoding", "Expect", "X", "content-length", "host", "X ", ""]
        let values = ["hub", "5", "chunked", "100-continue", "", "5,5", "\u{0}", "99999999999999999999", "Chunked"]
        var served = 0
        for _ in 0..<20_000 {
            var fields: [(String, String)] = []
            for _ in 0..<Int.random(in: 0..<5, using: &random) {
                fields.append((names.randomElement(using: &random) ?? "", values.randomElement(using: &random) ?? ""))
            }
            let head = head(fields)
            guard head.judged() == nil else { continue }
            served += 1
            let given = fields.map { $0.0.lowercased() }
            #expect(given.count { $0 == "host" } == 1)
            #expect(given.count { $0 == "content-length" || $0 == "transfer-encoding" } <= 1)
            #expect(head.isChunked == given.contains("transfer-encoding"))
            #expect((head.contentLength == 5) == given.contains("content-length"))
        }
        #expect(served > 100)
        for _ in 0..<5000 {
            var head = RequestHead()
            for _ in 0..<3 {
                let (name, value) = (bytes(&random), bytes(&random))
                head.field(name.span, value.span)
            }
            let (method, target, version) = (bytes(&random), bytes(&random), bytes(&random))
            let fault = head.verdict(method: method.span, target: target.span, version: version.span)
            #expect(fault != nil, "nothing random can be a method")
        }
    }

    private func bytes(_ random: inout SeededNumbers) -> [UInt8] {
        (0..<Int.random(in: 0..<20, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
}
