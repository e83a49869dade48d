internal import Glibc
internal import JSON

/// A stretch of a log from one line's beginning to the next: one whole line, or bytes that are none.
struct Segment {
    let offset: UInt64
    let length: UInt64
    /// Counted from 1 by newlines, as an editor does.
    let number: UInt64
    /// Nil when the bytes are not a whole line.
    let line: Line?
    /// The first of its bytes that the disk does not give.
    var unreadable: UInt64?

    /// Where it is in the file.
    var range: Range<UInt64> { offset..<(offset + length) }

    /// What of it this program does not know, for people; nil when it knows it all.
    var newer: String? {
        switch line {
        case .newerHead(let format)?: "format \(format); this one knows format \(Line.format)"
        case .unknown?: "line \(number) at byte \(offset) is of a kind that this one does not know"
        default: nil
        }
    }

    /// Why it is no line, for people.
    var fault: String { unreadable.map { "the disk does not give it from byte \($0) on" } ?? "no whole line" }
}

/// Splits a log into segments, reading it in pieces; any bytes will do.
///
/// A whole line that is glued to damaged bytes before it, because the newline between them is damaged, is found again:
/// it may be the only witness that what it is glued to had been on disk. Pages that the disk does not give, such as a
/// bad sector, are passed over; what touches one is no whole line.
struct SegmentReader {
    private let file: LogFile
    private var buffer: [UInt8]
    /// Where `buffer` begins in the file.
    private var base: UInt64
    /// What is read and not yet split, in `buffer`.
    private var unread = 0..<0
    /// Where reading ends in the file.
    private var end: UInt64
    private var number: UInt64 = 0
    private var glued: Segment?
    private var scratch: [UInt8] = []
    /// Pages that could not be read and are not split yet, in their order.
    private var unreadable: [Range<UInt64>] = []

    /// Whether the kernel is to forget what has been read.
    private let forgets: Bool
    /// Where somebody is told next how far it is.
    private var telling: UInt64 = 0

    /// Reads from one offset to another.
    ///
    /// - Parameter forgets: whether what has been read leaves the kernel's memory again, for a look at a large log.
    init(_ file: LogFile, from offset: UInt64 = 0, to end: UInt64, chunk: Int = 1 << 20, forgets: Bool = false) {
        self.file = file
        self.forgets = forgets
        self.end = max(offset, end)
        base = offset
        buffer = [UInt8](repeating: 0, count: Int(min(UInt64(chunk + Line.limit), self.end - offset)))
    }

    /// The next segment; nil at the end.
    mutating func next() throws(JournalError) -> Segment? {
        if let segment = glued { glued = nil; return segment }
        let offset = base + UInt64(unread.lowerBound)
        var searched = 0
        while true {
            if let newline = newline(from: unread.lowerBound + searched) {
                number += 1
                return split(offset, newline)
            }
            if unread.count > Line.limit {
                // No line is that long. What may be glued to its end is at most a line long.
                unread = (unread.upperBound - Line.limit)..<unread.upperBound
            }
            searched = unread.count
            guard try fill() else { break }
        }
        let length = base + UInt64(unread.upperBound) - offset
        guard length > 0 else { return nil }
        unread = unread.upperBound..<unread.upperBound
        return noLine(offset, offset + length, number + 1)
    }

    /// Tells how far the log is read, now and then.
    mutating func tell(_ watch: Log.ReadingWatch) throws(JournalError) {
        let offset = base + UInt64(unread.lowerBound)
        guard offset >= telling else { return }
        telling = offset + Self.told
        try watch(Log.Reading(file: file.path, bytes: offset, size: end))
    }

    /// The segment of bytes that are no line.
    private mutating func noLine(_ offset: UInt64, _ stop: UInt64, _ number: UInt64) -> Segment {
        unreadable.removeAll { $0.upperBound <= offset }
        let first = unreadable.first.flatMap { $0.lowerBound < stop ? max(offset, $0.lowerBound) : nil }
        return Segment(offset: offset, length: stop - offset, number: number, line: nil, unreadable: first)
    }

    /// Reads on; false at the end.
    private mutating func fill() throws(JournalError) -> Bool {
        let rest = unread.count
        unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<rest])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[unread]))
        }
        base += UInt64(unread.lowerBound)
        unread = 0..<rest
        let start = base + UInt64(rest)
        let room = Int(min(UInt64(buffer.count - rest), end - min(start, end)))
        guard room > 0 else { return false }
        var done = 0
        while done < room {
            do {
                let count = try file.read(into: &buffer, (rest + done)..<(rest + room), at: start + UInt64(done))
                if count == 0 { end = start + UInt64(done); break }
                done += count
            } catch {
                guard error.isUnreadable else { throw JournalError(.io(error), file: file.path) }
                done += passOver(start + UInt64(done), rest + done, room - done)
            }
        }
        unread = 0..<(rest + done)
        if forgets { file.dropCache(upTo: start + UInt64(done)) }
        return done > 0
    }

    /// Takes the rest of a page as NULs, which no line has; returns its length.
    private mutating func passOver(_ offset: UInt64, _ index: Int, _ room: Int) -> Int {
        let length = min(room, Self.page - Int(offset % UInt64(Self.page)))
        for index in index..<(index + length) { buffer[index] = 0 }
        let range = offset..<(offset + UInt64(length))
        if let last = unreadable.last, last.upperBound == offset {
            unreadable[unreadable.count - 1] = last.lowerBound..<range.upperBound
        } else {
            unreadable.append(range)
        }
        return length
    }

    /// How much is read from one time that somebody is told to the next.
    private static let told: UInt64 = 1 << 16
    /// The least that a disk gives or does not.
    private static let page = 4096

    private func newline(from start: Int) -> Int? {
        unsafe buffer.withUnsafeBytes { bytes in
            guard start < unread.upperBound, let base = bytes.baseAddress,
                let found = unsafe memchr(base + start, 0x0A, unread.upperBound - start)
            else { return nil }
            return unsafe UnsafeRawPointer(found) - base
        }
    }

    /// Takes the segment that ends with the given newline.
    private mutating func split(_ offset: UInt64, _ newline: Int) -> Segment {
        let start = unread.lowerBound
        let stop = base + UInt64(newline + 1)
        unread = (newline + 1)..<unread.upperBound
        if newline - start < Line.limit, isIntact(start..<newline), let line = line(start..<newline) {
            return Segment(offset: offset, length: stop - offset, number: number, line: line)
        }
        if let (cut, line) = findGlued(start + 1, newline) {
            let middle = base + UInt64(cut)
            glued = Segment(offset: middle, length: stop - middle, number: number, line: line)
            return noLine(offset, middle, number)
        }
        return noLine(offset, stop, number)
    }

    private mutating func findGlued(_ start: Int, _ newline: Int) -> (cut: Int, line: Line)? {
        var cut = max(start, newline + 1 - Line.limit)
        let hasTail = unsafe buffer.withUnsafeBytes { bytes in
            guard cut < newline else { return false }
            return unsafe Line.checksum(atEndOf: UnsafeRawBufferPointer(rebasing: bytes[cut..<newline])) != nil
        }
        guard hasTail else { return nil }
        while cut < newline - Line.tail {
            if beginsLine(at: cut, newline), isIntact(cut..<newline), let line = line(cut..<newline) {
                return (cut, line)
            }
            cut += 1
        }
        return nil
    }

    private func beginsLine(at index: Int, _ end: Int) -> Bool {
        guard buffer[index] == UInt8(ascii: "{"), end - index > 8 else { return false }
        let beginning = buffer[index..<(index + 8)]
        return beginning.starts(with: "{\"seq\":".utf8) || beginning.starts(with: "{\"mark\":".utf8)
    }

    private func isIntact(_ range: Range<Int>) -> Bool {
        unsafe buffer.withUnsafeBytes { bytes in
            unsafe Line.isIntact(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
    }

    private mutating func line(_ range: Range<Int>) -> Line? {
        scratch.removeAll(keepingCapacity: true)
        scratch.append(contentsOf: buffer[range])
        return Line(scratch)
    }
}
