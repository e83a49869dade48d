/// Goes through the members of an archive.
struct TarReader {
    /// How long the archive is; 0 when that is unknown.
    let total: UInt64
    /// How much of it is read.
    private(set) var done: UInt64 = 0

    init(_ size: Int) {
        total = UInt64(max(0, size))
    }

    /// The next member; nil at the end that the archive says it has.
    mutating func next(_ input: borrowing ByteFile, _ file: String) throws(BackupError) -> TarHeader? {
        let block = try read(TarHeader.blockSize, input, file)
        if block.allSatisfy({ $0 == 0 }) { return nil }
        if let header = TarHeader(block) { return header }
        guard done > UInt64(TarHeader.blockSize) else {
            let advice = block.starts(with: [0x1F, 0x8B]) ? "gunzip it first" : "give a file that nearhub backup made"
            throw BackupError(.damaged, "\(file) is no tar archive; \(advice)")
        }
        throw BackupError(.damaged, "\(file): no header at byte \(done - 512); nothing was restored")
    }

    /// Hands out the content of a member, piece by piece, each with how much of the archive is read.
    mutating func content(
        _ header: TarHeader, _ input: borrowing ByteFile, _ file: String,
        _ body: ([UInt8], UInt64) throws(BackupError) -> Void
    ) throws(BackupError) {
        var rest = header.size
        while rest > 0 {
            let bytes = try read(Int(min(rest, UInt64(ByteFile.chunk))), input, file)
            rest -= UInt64(bytes.count)
            try body(bytes, done)
        }
        _ = try read(header.padding, input, file)
    }

    /// Goes past the content of a member.
    mutating func skip(_ header: TarHeader, _ input: borrowing ByteFile, _ file: String) throws(BackupError) {
        try content(header, input, file) { _, _ in }
    }

    private mutating func read(_ count: Int, _ input: borrowing ByteFile, _ file: String) throws(BackupError) -> [UInt8]
    {
        let bytes: [UInt8]
        do { bytes = try input.read(count) } catch { throw BackupError(error) }
        guard bytes.count == count else {
            throw BackupError(
                .damaged, "\(file) ends too early, at byte \(done + UInt64(bytes.count)); nothing was restored")
        }
        done += UInt64(count)
        return bytes
    }
}
