internal import CXXHash

extension [UInt8] {
    /// Appends a literal as it is.
    mutating func append(_ literal: StaticString) {
        unsafe append(contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }

    /// Appends a decimal number, with leading zeros up to the given width.
    mutating func appendDigits(_ value: UInt64, width: Int = 1) {
        var digits = InlineArray<20, UInt8>(repeating: UInt8(ascii: "0"))
        var first = digits.count
        var rest = value
        while rest != 0 {
            first -= 1
            digits[first] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        append(digits.span.extracting(Swift.min(first, digits.count - width)...))
    }

    private mutating func append(_ bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }

    /// Appends the whole line of a mark that says what is on disk; spaces bring it to the given length.
    mutating func appendSyncMark(durable: UInt64, settled: UInt64?, length: Int = 0) {
        let start = count
        append("{\"mark\":\"sync\",\"durable\":")
        appendDigits(durable)
        if let settled {
            append(",\"settled\":")
            appendDigits(Swift.min(settled, Line.maximumSeq))
        }
        let missing = length - (count - start) - Line.tail - 1
        if missing > 0 { append(contentsOf: repeatElement(UInt8(ascii: " "), count: missing)) }
        closeLine(from: start)
    }

    /// Appends the whole first line of a log.
    mutating func appendHead(log: String, id: [UInt8], generation: UInt64) {
        let start = count
        append("{\"mark\":\"head\",\"format\":1,\"log\":\"")
        append(contentsOf: log.utf8)
        append("\",\"id\":\"")
        append(contentsOf: id)
        append("\",\"gen\":")
        appendDigits(generation)
        closeLine(from: start)
    }

    /// Appends the whole line of a mark that ends the gaps in the numbers.
    mutating func appendSeal(upto: UInt64, lines: UInt64) {
        let start = count
        append("{\"mark\":\"seal\",\"upto\":")
        appendDigits(upto)
        append(",\"lines\":")
        appendDigits(lines)
        closeLine(from: start)
    }

    /// Ends the line that began at `start`: the checksum of all its bytes so far, the brace, the newline.
    mutating func closeLine(from start: Int) {
        var hash = unsafe withUnsafeBytes { bytes in
            unsafe Line.hash(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        }
        append(",\"xxh3\":\"")
        var digits = InlineArray<16, UInt8>(repeating: 0)
        for index in digits.indices {
            let nibble = UInt8(truncatingIfNeeded: hash >> 60)
            let isLetter: UInt8 = nibble > 9 ? 1 : 0
            digits[index] = UInt8(ascii: "0") &+ nibble &+ 39 &* isLetter
            hash <<= 4
        }
        append(digits.span)
        append("\"}\n")
    }
}

extension Line {
    /// XXH3-64 with its default seed: finds accidents, not forgers.
    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        unsafe XXH3_64bits(bytes.baseAddress, bytes.count)
    }

    /// The checksum that a line without its newline bears at its end; nil when its end has not that form.
    static func checksum(atEndOf line: UnsafeRawBufferPointer) -> UInt64? {
        guard line.count > tail else { return nil }
        let end = unsafe UnsafeRawBufferPointer(rebasing: line[(line.count - tail)...])
        let opening: StaticString = ",\"xxh3\":\""
        for index in 0..<9 where unsafe end[index] != opening.utf8Start[index] { return nil }
        guard unsafe end[25] == UInt8(ascii: "\""), unsafe end[26] == UInt8(ascii: "}") else { return nil }
        var value: UInt64 = 0
        for index in 9..<25 {
            let digit = unsafe end[index]
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    /// Whether a line without its newline bears the checksum of its bytes.
    static func isIntact(_ line: UnsafeRawBufferPointer) -> Bool {
        guard let checksum = unsafe checksum(atEndOf: line) else { return false }
        return unsafe hash(UnsafeRawBufferPointer(rebasing: line[..<(line.count - tail)])) == checksum
    }
}
