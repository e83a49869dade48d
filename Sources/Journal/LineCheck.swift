internal import JSON

extension Line {
    /// Why the members from `start` to the end would not be read back, or would break the line; nil when they will.
    ///
    /// A line that is on disk and cannot be read again is damage, for ever. So what the reader refuses is refused
    /// before it is staged: nesting, U+0000, bytes that are not UTF-8, values that are not closed.
    static func obstacle(in line: [UInt8], from start: Int) -> String? {
        let bytes = line.span.extracting(start...)
        var depth = 1
        var isText = false
        var allBits: UInt8 = 0
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            allBits |= byte
            index += 1
            if byte < 0x20 { return "a control character" }
            switch byte {
            case UInt8(ascii: "\""): isText.toggle()
            case UInt8(ascii: "\\") where isText:
                if isNUL(bytes, index) { return "a NUL character" }
                index += 1
            case UInt8(ascii: "{") where !isText, UInt8(ascii: "[") where !isText:
                depth += 1
                if depth > JSONValue.maximumDepth { return "nesting over \(JSONValue.maximumDepth)" }
            case UInt8(ascii: "}") where !isText, UInt8(ascii: "]") where !isText:
                depth -= 1
                if depth < 1 { return "a value that is not closed" }
            default: break
            }
        }
        if isText || depth != 1 || index != bytes.count { return "a value that is not closed" }
        guard allBits >= 0x80 else { return nil }
        do { _ = try UTF8Span(validating: bytes) } catch { return "not valid UTF-8" }
        return nil
    }

    /// Whether `u0000` stands here, behind a backslash.
    private static func isNUL(_ bytes: Span<UInt8>, _ index: Int) -> Bool {
        guard index + 5 <= bytes.count, bytes[index] == UInt8(ascii: "u") else { return false }
        for digit in (index + 1)..<(index + 5) where bytes[digit] != UInt8(ascii: "0") { return false }
        return true
    }
}
