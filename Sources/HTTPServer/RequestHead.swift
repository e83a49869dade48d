/// Why a request is refused before anybody looks at what it wants.
public struct RequestFault: Error, Hashable, Sendable {
    /// The status code to answer with; the connection is closed behind it.
    public let status: Int
    /// One sentence that names the rule, never the input.
    public let message: String

    static func bad(_ message: String) -> RequestFault { RequestFault(status: 400, message: message) }
}

/// Judges the head of a request by RFC 9112, strictly.
///
/// libmicrohttpd lets through what request smuggling needs: two lengths, a length beside chunks, names that are no
/// tokens. Every field is fed in, then `verdict` is asked once.
public struct RequestHead {
    /// The most header fields.
    public static let maximumFields = 64

    /// The length that was announced; nil when none was.
    public private(set) var contentLength: UInt64?
    /// Whether the body comes in chunks; such a connection is closed behind the answer.
    public private(set) var isChunked = false
    /// Whether the client waits for a word before it sends the body.
    public private(set) var expectsContinue = false
    private var fields = 0
    private var hosts = 0
    private var lengths = 0
    private var encodings = 0
    private var fault: RequestFault?

    /// A head without fields.
    public init() {}

    /// Takes one header field.
    public mutating func field(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        fields += 1
        if name.isEmpty || !name.all(isTokenCharacter) { fault = fault ?? .bad("a header name is no token") }
        if !value.all({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) {
            fault = fault ?? .bad("a control character in a header")
        }
        if name.equals("host") { hosts += 1 }
        if name.equals("expect") { expectsContinue = true }
        if name.equals("content-length") {
            lengths += 1
            contentLength = decimal(value)
            if contentLength == nil { fault = fault ?? .bad("Content-Length is no number") }
        }
        if name.equals("transfer-encoding") {
            encodings += 1
            isChunked = true
            if !value.equals("chunked") {
                fault = fault ?? RequestFault(status: 501, message: "a Transfer-Encoding other than chunked")
            }
        }
    }

    /// Judges the whole; nil when the request may be served.
    ///
    /// - Parameters:
    ///   - method: as sent.
    ///   - target: the path as the library gives it.
    ///   - version: `HTTP/1.1` and the like.
    public func verdict(method: Span<UInt8>, target: Span<UInt8>, version: Span<UInt8>) -> RequestFault? {
        let isOld = version.isExactly("HTTP/1.0")
        guard isOld || version.isExactly("HTTP/1.1") else {
            return RequestFault(status: 505, message: "neither HTTP/1.0 nor HTTP/1.1")
        }
        guard knownMethods.contains(where: { method.isExactly($0) }) else {
            return RequestFault(status: 501, message: "an unknown method")
        }
        if target.isEmpty || target[0] != UInt8(ascii: "/") { return .bad("the target does not begin with /") }
        if fields > Self.maximumFields {
            return RequestFault(status: 431, message: "over \(Self.maximumFields) header fields")
        }
        if let fault { return fault }
        if hosts > 1 { return .bad("more than one Host") }
        if hosts == 0 && !isOld { return .bad("no Host") }
        if lengths > 1 { return .bad("more than one Content-Length") }
        if encodings > 1 { return .bad("more than one Transfer-Encoding") }
        if encodings > 0 && lengths > 0 { return .bad("both Content-Length and Transfer-Encoding") }
        if encodings > 0 && isOld { return .bad("Transfer-Encoding in HTTP/1.0") }
        return nil
    }
}

private let knownMethods: [StaticString] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

private func decimal(_ digits: Span<UInt8>) -> UInt64? {
    guard !digits.isEmpty, digits.count <= 19 else { return nil }
    var value: UInt64 = 0
    for index in digits.indices {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digits[index]) else { return nil }
        value = value * 10 + UInt64(digits[index] - UInt8(ascii: "0"))
    }
    return value
}

/// A `tchar` of RFC 9110 section 5.6.2.
private func isTokenCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
        UInt8(ascii: "'"),
        UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"),
        UInt8(ascii: "_"),
        UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
        true
    default: false
    }
}

extension Span<UInt8> {
    fileprivate func all(_ isFine: (UInt8) -> Bool) -> Bool {
        for index in indices where !isFine(self[index]) { return false }
        return true
    }

    /// Whether the bytes are the literal, letter for letter.
    fileprivate func isExactly(_ literal: StaticString) -> Bool {
        compare(literal) { $0 }
    }

    /// Whether the bytes are the lower-case literal, in whatever case.
    fileprivate func equals(_ literal: StaticString) -> Bool {
        compare(literal) { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
    }

    private func compare(_ literal: StaticString, _ fold: (UInt8) -> UInt8) -> Bool {
        guard count == literal.utf8CodeUnitCount else { return false }
        for index in indices {
            guard unsafe fold(self[index]) == literal.utf8Start[index] else { return false }
        }
        return true
    }
}
