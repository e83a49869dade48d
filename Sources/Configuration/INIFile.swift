internal import CInih
internal import Glibc

/// A configuration file, taken apart by inih.
enum INIFile {
    /// One `key = value` with its place; continuation lines are joined to the value by blanks.
    struct Entry {
        let file: String
        let line: Int
        let section: String
        /// The line of the `[section]` above; nil when there is none.
        let sectionLine: Int?
        let name: String
        var value: String

        var location: String { "\(file):\(line)" }
        var sectionLocation: String { "\(file):\(sectionLine ?? line)" }
    }

    /// The largest file that is read, in bytes.
    static let largest = 64 * 1024

    /// All entries of a file, in order.
    ///
    /// - Throws: a file that cannot be read, is too large, holds NUL or is not UTF-8; a line that is not INI.
    static func entries(_ file: String) throws(ConfigurationError) -> [Entry] {
        var lines = Lines(file: file, bytes: try contents(file))
        let failed = unsafe withUnsafeMutablePointer(to: &lines) { lines in
            unsafe ini_parse_stream(nextLine, lines, takeEntry, lines)
        }
        if let offence = lines.offence { throw offence }
        guard failed == 0 else {
            throw ConfigurationError(
                at: "\(file):\(failed)", "neither a [section] nor key = value nor a comment",
                advice: "comments begin with # or ;")
        }
        return lines.entries
    }

    private static func contents(_ file: String) throws(ConfigurationError) -> [UInt8] {
        let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(file) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: largest + 1)
        var count = 0
        while count < bytes.count {
            let taken = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe read(descriptor, buffer.baseAddress.map { unsafe $0 + count }, buffer.count - count)
            }
            if taken == 0 { break }
            if taken > 0 { count += taken } else if errno != EINTR { throw unreadable(file) }
        }
        guard count <= largest else {
            throw ConfigurationError(at: file, "has more than \(largest) bytes", advice: "is it a configuration file?")
        }
        bytes.removeLast(bytes.count - count)
        try checkText(bytes, of: file)
        return bytes
    }

    private static func unreadable(_ file: String) -> ConfigurationError {
        let reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)"
        return ConfigurationError(at: file, "cannot be read: \(reason)")
    }

    /// Refuses what C strings cannot carry (NUL) and what is not UTF-8.
    private static func checkText(_ bytes: [UInt8], of file: String) throws(ConfigurationError) {
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            guard !line.contains(0) else { throw ConfigurationError(at: "\(file):\(index + 1)", "holds a NUL byte") }
            guard String(validating: line, as: UTF8.self) != nil else {
                throw ConfigurationError(at: "\(file):\(index + 1)", "is not UTF-8 text")
            }
        }
    }
}

/// What passes between our two callbacks: inih takes lines from it, and hands entries to it.
private struct Lines {
    let file: String
    let bytes: [UInt8]
    /// Where the next line begins in `bytes`.
    var next = 0
    /// The number of the line inih has now, from 1.
    var number = 0
    /// Whether that line continues the value above it, as inih sees it.
    var continues = false
    /// Whether a key was seen since the last section line, so that a line beginning with a blank continues it.
    var mayContinue = false
    /// The line of the last `[section]`.
    var section: Int?
    var entries: [INIFile.Entry] = []
    /// The first line that was refused here.
    var offence: ConfigurationError?

    init(file: String, bytes: [UInt8]) {
        self.file = file
        self.bytes = bytes
    }

    /// The next line with its line feed; nil at the end, and for one that inih's buffer would cut.
    mutating func line(limit: Int) -> ArraySlice<UInt8>? {
        guard next < bytes.count, offence == nil else { return nil }
        let feed = bytes[next...].firstIndex(of: UInt8(ascii: "\n"))
        let line = bytes[next..<(feed.map { $0 + 1 } ?? bytes.count)]
        number += 1
        guard line.count <= limit, feed != nil || line.count < limit else {
            refuse(
                "the line is too long, \(limit - 1) bytes are the limit",
                advice: "continue it on a line that begins with a blank")
            return nil
        }
        next = line.endIndex
        let blank = line.first == UInt8(ascii: " ") || line.first == UInt8(ascii: "\t")
        let text = line.first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }
        continues = blank && mayContinue
        if text == UInt8(ascii: "["), !continues {
            mayContinue = false
            section = number
        }
        return line
    }

    /// Keeps an entry, or joins a continuation to the one it belongs to.
    mutating func take(section: String, name: String, value: String) {
        mayContinue = true
        guard continues, let last = entries.indices.last else {
            entries.append(
                INIFile.Entry(
                    file: file, line: number, section: section, sectionLine: self.section, name: name, value: value))
            return
        }
        guard !value.contains("=") else {
            refuse(
                "begins with a blank, so it continues '\(entries[last].name)' of line \(entries[last].line)",
                advice: "a key begins at the start of its line")
            return
        }
        entries[last].value += entries[last].value.isEmpty ? value : " " + value
    }

    private mutating func refuse(_ problem: String, advice: String) {
        if offence == nil { offence = ConfigurationError(at: "\(file):\(number)", problem, advice: advice) }
    }
}

/// inih's reader (ini_reader in ini.h, like fgets(3)): copies the next line with an ending NUL.
private func nextLine(
    _ target: UnsafeMutablePointer<CChar>?, _ size: CInt, _ lines: UnsafeMutableRawPointer?
) -> UnsafeMutablePointer<CChar>? {
    guard let target = unsafe target, let lines = unsafe lines?.assumingMemoryBound(to: Lines.self),
        let line = unsafe lines.pointee.line(limit: Int(size) - 1)
    else { return nil }
    for (offset, byte) in line.enumerated() { unsafe target[offset] = CChar(bitPattern: byte) }
    unsafe target[line.count] = 0
    return unsafe target
}

/// inih's handler (ini_handler in ini.h); what is wrong is kept in `Lines`, so it always says yes.
private func takeEntry(
    _ lines: UnsafeMutableRawPointer?, _ section: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?,
    _ value: UnsafePointer<CChar>?
) -> CInt {
    guard let lines = unsafe lines?.assumingMemoryBound(to: Lines.self), let section = unsafe section,
        let name = unsafe name, let value = unsafe value
    else { return 1 }
    unsafe lines.pointee.take(
        section: String(cString: section), name: String(cString: name), value: String(cString: value))
    return 1
}
