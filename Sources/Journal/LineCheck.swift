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
            if isText { skipPlain(bytes, &index, &allBits) }
            guard index < bytes.count else { break }
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

    /// Passes over text eight bytes at a time, as long as there is neither a quote nor a backslash nor a control character.
    private static func skipPlain(_ bytes: Span<UInt8>, _ index: inout Int, _ allBits: inout UInt8) {
        let (ones, tops): (UInt64, UInt64) = (0x0101_0101_0101_0101, 0x8080_8080_8080_8080)
        while index + 8 <= bytes.count {
            let word = unsafe bytes.bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
            // A byte that is 0 after the exclusive or, or below 0x20, borrows from its top bit.
            let quote = word ^ ones &* 0x22
            let backslash = word ^ ones &* 0x5C
            let found =
                (quote &- ones) & ~quote | (backslash &- ones) & ~backslash | (word &- ones &* 0x20) & ~word
            if found & tops != 0 { return }
            if word & tops != 0 { allBits |= 0x80 }
            index += 8
        }
    }

    /// Whether `u0000` stands here, behind a backslash.
    private static func isNUL(_ bytes: Span<UInt8>, _ index: Int) -> Bool {
        guard index + 5 <= bytes.count, bytes[index] == UInt8(ascii: "u") else { return false }
        for digit in (index + 1)..<(index + 5) where bytes[digit] != UInt8(ascii: "0") { return false }
        return true
    }
}
