internal import EventLoop
internal import Glibc
public import JSON

extension Log {
    /// A place between two records, named by a number: offsets move when the log is written anew, numbers never do.
    public struct Place {
        /// The records up to this one lie before it.
        public fileprivate(set) var seq: UInt64
        /// Where to look for the next line, as long as `file` is the log's file.
        fileprivate var offset: UInt64 = 0
        fileprivate weak var file: LogFile?

        /// The place behind the record of this number, and of those below it.
        public init(after seq: UInt64) { self.seq = seq }
    }

    /// What comes behind a place.
    public enum Step {
        case record(Record)
        /// A line that is not whole; the place is behind it.
        case damaged(offset: UInt64)
    }

    /// The next record that is on disk, and moves the place behind it; nil at the end.
    ///
    /// Costs one read, or some twenty at a place that was not used before or after the log was written anew.
    public func next(after place: inout Place) throws(JournalError) -> Step? {
        if place.file !== file { try find(&place) }
        while place.offset < size {
            guard let (line, length) = try line(at: place.offset) else {
                let offset = place.offset
                guard let length = try brokenLength(at: offset) else { return nil }
                place.offset += length
                return .damaged(offset: offset)
            }
            let offset = place.offset
            place.offset += length
            guard case .record(let seq, let durable, let operation, let json) = line, seq > place.seq else { continue }
            place.seq = seq
            let address = addresses.address(of: offset)
            return .record(Record(seq: seq, durable: durable, operation: operation, offset: address, json: json))
        }
        return nil
    }

    /// The address of the next line behind a place, or of what would be there.
    public func address(of place: Place) throws(JournalError) -> UInt64 {
        var place = place
        if place.file !== file { try find(&place) }
        return addresses.address(of: place.offset)
    }

    /// Whether the record of an address is not on disk yet, and may be taken back.
    public func isStaged(_ address: UInt64) -> Bool {
        address >= addresses.address(of: size) && address < nextAddress
    }

    /// The id in the log's head: no other log has it.
    public func id() throws(JournalError) -> Text {
        guard case .head(_, let id, _)? = try line(at: 0)?.line else {
            throw JournalError(.damaged(offset: 0, line: 1, why: "not the head of a log"), file: file.path)
        }
        return id
    }

    /// The whole line at an offset with its length; nil when what is there is none.
    private func line(at offset: UInt64) throws(JournalError) -> (line: Line, length: UInt64)? {
        guard let bytes = try file.line(at: offset, size: size),
            unsafe bytes.withUnsafeBytes({ unsafe Line.isIntact($0) }), let line = Line(bytes)
        else { return nil }
        return (line, UInt64(bytes.count) + 1)
    }

    /// How far it is from an offset to the next line; nil at the end.
    private func brokenLength(at offset: UInt64) throws(JournalError) -> UInt64? {
        var reader = SegmentReader(file, from: offset, to: size, chunk: 4096)
        return try reader.next()?.length
    }

    /// Finds the place by its number: numbers rise along the file, so half of what is left is ruled out each time.
    private func find(_ place: inout Place) throws(JournalError) {
        var low: UInt64 = 0
        var high = size
        while high - low > 4096 {
            let middle = low + (high - low) / 2
            guard let found = try firstRecord(behind: middle), found.offset < high else {
                high = middle
                continue
            }
            if found.seq <= place.seq { low = found.offset } else { high = middle }
        }
        // Damaged lines behind the last record that lies before the place are still to come.
        var end = low
        while end < size {
            let found = try line(at: end)
            if case .record(let seq, _, _, _)? = found?.line, seq > place.seq { break }
            if let found {
                end += found.length
                low = end
            } else if let length = try brokenLength(at: end) {
                end += length
            } else {
                throw JournalError(.damaged(offset: end, line: nil, why: "the file ends here"), file: file.path)
            }
        }
        place.offset = low
        place.file = file
    }

    /// The first record whose line begins behind an offset.
    private func firstRecord(behind offset: UInt64) throws(JournalError) -> (offset: UInt64, seq: UInt64)? {
        var reader = SegmentReader(file, from: offset, to: size, chunk: 4096)
        // The first segment is the rest of a line.
        guard try reader.next() != nil else { return nil }
        while let segment = try reader.next() {
            if case .record(let seq, _, _, _)? = segment.line { return (segment.offset, seq) }
        }
        return nil
    }
}
