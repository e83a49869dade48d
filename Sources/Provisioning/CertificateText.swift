/// Certificates as devices send them (protocol.md D8): text, which is neither decoded nor checked.
enum CertificateText {
    private static let begin = Array("-----BEGIN CERTIFICATE-----".utf8)
    private static let end = Array("-----END CERTIFICATE-----".utf8)
    private static let privateKey = Array("PRIVATE KEY".utf8)

    /// The base64 body of the first certificate; nil when it is empty or a private key is in the text.
    ///
    /// Line ends, spaces, tabs and the two characters `\n` go, as does all before BEGIN and behind END.
    static func body(of text: [UInt8]) -> [UInt8]? {
        guard text[...].firstRange(of: privateKey) == nil else { return nil }
        var rest = text[...]
        if let marker = rest.firstRange(of: begin) { rest = rest[marker.upperBound...] }
        if let marker = rest.firstRange(of: end) { rest = rest[..<marker.lowerBound] }
        var body: [UInt8] = []
        body.reserveCapacity(rest.count)
        var index = rest.startIndex
        while index < rest.endIndex {
            let byte = rest[index]
            let isEscapedNewline =
                byte == UInt8(ascii: "\\") && index + 1 < rest.endIndex && rest[index + 1] == UInt8(ascii: "n")
            if isEscapedNewline {
                index += 1
            } else if ![0x0A, 0x0D, 0x20, 0x09].contains(byte) {
                body.append(byte)
            }
            index += 1
        }
        return body.isEmpty ? nil : body
    }

    /// The text without certificate markers and line ends, as ThingsBoard's `EncryptionUtil` hashes everything.
    ///
    /// In its order: BEGIN, line ends, END; what moves together by that is not looked at again.
    static func removingMarkers(_ text: [UInt8]) -> [UInt8] {
        var rest = removing(begin, from: text)
        rest.removeAll { $0 == 0x0A || $0 == 0x0D }
        return removing(end, from: rest)
    }

    private static func removing(_ marker: [UInt8], from text: [UInt8]) -> [UInt8] {
        var kept: [UInt8] = []
        kept.reserveCapacity(text.count)
        var rest = text[...]
        while let range = rest.firstRange(of: marker) {
            kept += rest[..<range.lowerBound]
            rest = rest[range.upperBound...]
        }
        return kept + rest
    }
}

extension ArraySlice<UInt8> {
    /// Where the pattern occurs first.
    func firstRange(of pattern: [UInt8]) -> Range<Int>? {
        guard let first = pattern.first, count >= pattern.count else { return nil }
        var from = startIndex
        while let start = self[from...].firstIndex(of: first), endIndex - start >= pattern.count {
            if self[start..<start + pattern.count].elementsEqual(pattern) { return start..<start + pattern.count }
            from = start + 1
        }
        return nil
    }
}
