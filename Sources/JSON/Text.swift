/// UTF-8 text that compares byte by byte.
///
/// Names, keys and credentials are equal only if every byte is: `String` would also call two spellings of "é" equal,
/// which ThingsBoard's devices and their credentials never are.
public struct Text: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The bytes; valid UTF-8 when they came from `JSONValue.parse`.
    public let utf8: [UInt8]

    /// Takes the bytes as they are.
    public init(utf8: [UInt8]) {
        self.utf8 = utf8
    }

    /// The text of a Swift string.
    public init(_ string: some StringProtocol) {
        utf8 = Array(string.utf8)
    }

    /// The text of a literal.
    public init(stringLiteral value: String) {
        self.init(value)
    }

    /// Feeds all bytes at once, which `[UInt8]` does one by one.
    public func hash(into hasher: inout Hasher) {
        unsafe utf8.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        hasher.combine(utf8.count)
    }

    /// Whether there is no byte at all.
    public var isEmpty: Bool { utf8.isEmpty }

    /// The same text as a Swift string; bytes that are not UTF-8 become U+FFFD.
    public var description: String { String(decoding: utf8, as: UTF8.self) }
}
