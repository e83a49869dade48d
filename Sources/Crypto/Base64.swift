internal import CCrypto

/// Base64 (RFC 4648), by libcrypto.
public enum Base64 {
    /// The URL alphabet without padding (RFC 4648 section 5).
    public static func encodeURL(_ bytes: [UInt8]) -> [UInt8] {
        var text = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
        let count = unsafe EVP_EncodeBlock(&text, bytes, Int32(clamping: bytes.count))
        text.removeLast(text.count - Int(count))
        while text.last == UInt8(ascii: "=") { text.removeLast() }
        return text.map {
            $0 == UInt8(ascii: "+") ? UInt8(ascii: "-") : $0 == UInt8(ascii: "/") ? UInt8(ascii: "_") : $0
        }
    }

    /// The bytes of text in the usual alphabet with padding; nil when it is something else.
    ///
    /// EVP_DecodeBlock takes padding for zeros wherever it stands, and skips blanks at both ends: both are refused here.
    public static func decode(_ text: [UInt8]) -> [UInt8]? {
        let padding = text.suffix(2).count { $0 == UInt8(ascii: "=") }
        guard !text.isEmpty, text.count % 4 == 0, text.dropLast(padding).allSatisfy(isDigit) else { return nil }
        var bytes = [UInt8](repeating: 0, count: text.count / 4 * 3)
        let count = unsafe EVP_DecodeBlock(&bytes, text, Int32(clamping: text.count))
        guard count == bytes.count else { return nil }
        // EVP_DecodeBlock counts the padding as bytes.
        bytes.removeLast(padding)
        return bytes
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}
