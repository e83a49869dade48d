/// The header of one member of a tar archive: 512 bytes before its content (ustar, POSIX.1-1988; tar(5)).
struct TarHeader: Equatable {
    /// The length of a header, of which the content and the end are multiples.
    static let blockSize = 512

    /// The member's name as it stands there.
    let name: String
    /// The length of the content, in bytes.
    let size: UInt64
    /// What it is: `0` a file, `5` a directory, `x` and `g` further headers.
    let type: UInt8

    /// A regular file.
    init(file name: String, size: UInt64) {
        self.name = name
        self.size = size
        type = UInt8(ascii: "0")
    }

    /// Reads a header; nil when the block is none.
    init?(_ block: [UInt8]) {
        guard block.count == Self.blockSize,
            Self.octal(block[148..<156]) == UInt64(Self.sum(block)), let size = Self.octal(block[124..<136])
        else { return nil }
        let prefix = block[257..<262].elementsEqual("ustar".utf8) && block[262] == 0 ? Self.text(block[345..<500]) : ""
        name = (prefix.isEmpty ? "" : prefix + "/") + Self.text(block[0..<100])
        self.size = size
        type = block[156] == 0 ? UInt8(ascii: "0") : block[156]
    }

    /// The bytes between the content and the next header.
    var padding: Int { (Self.blockSize - Int(size % UInt64(Self.blockSize))) % Self.blockSize }

    /// The header of a file that its owner alone may read; names have at most 100 bytes, files less than 8 GiB.
    ///
    /// - Parameter time: of the last change, in seconds since 1970.
    func bytes(time: UInt64) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: Self.blockSize)
        func put(_ text: some Sequence<UInt8>, at offset: Int) {
            for (index, byte) in text.enumerated() { block[offset + index] = byte }
        }
        put(name.utf8, at: 0)
        put(Self.octal(0o600, width: 7), at: 100)
        put(Self.octal(0, width: 7), at: 108)
        put(Self.octal(0, width: 7), at: 116)
        put(Self.octal(size, width: 11), at: 124)
        put(Self.octal(time, width: 11), at: 136)
        block[156] = type
        put("ustar\u{0}00root".utf8, at: 257)
        put("root".utf8, at: 297)
        put(Self.octal(UInt64(Self.sum(block)), width: 6), at: 148)
        block[155] = UInt8(ascii: " ")
        return block
    }

    /// The sum of all bytes, those of the sum itself taken as blanks.
    private static func sum(_ block: [UInt8]) -> Int {
        block.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 0x20 : Int($1.element)) }
    }

    private static func octal(_ number: UInt64, width: Int) -> [UInt8] {
        let digits = Array(String(number, radix: 8).utf8)
        return Array(repeating: UInt8(ascii: "0"), count: max(0, width - digits.count)) + digits
    }

    private static func octal(_ field: ArraySlice<UInt8>) -> UInt64? {
        let digits = field.drop { $0 == 0x20 }.prefix { $0 != 0 && $0 != 0x20 }
        return UInt64(String(decoding: digits, as: UTF8.self), radix: 8)
    }

    private static func text(_ field: ArraySlice<UInt8>) -> String {
        String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }
}
