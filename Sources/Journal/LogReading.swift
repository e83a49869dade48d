internal import EventLoop
internal import Glibc
internal import JSON

extension Log {
    /// The record at an offset: from memory while it is not written yet, otherwise from the file; verified each time.
    ///
    /// - Parameter offset: what `append` returned, or a `Record.offset`.
    /// - Throws: `.damaged` when the line is not whole any more, `.noLine` when no record can be there, `.io`.
    public func read(at offset: UInt64) throws(JournalError) -> Record {
        if offset < size { return try EarlierRecords(file, size: size).read(at: offset) }
        let index = offset - size
        let isInFlight = index < UInt64(inFlight.count)
        let start = isInFlight ? index : index - UInt64(inFlight.count)
        let bytes = isInFlight ? inFlight : staging.bytes
        guard start < UInt64(bytes.count), let end = bytes[Int(start)...].firstIndex(of: 0x0A) else {
            throw JournalError(.noLine(offset: offset), file: file.path)
        }
        return try Record(whole: Array(bytes[Int(start)..<end]), at: offset, file: file.path)
    }

    /// Goes through the records that are in the file, in its order.
    ///
    /// - Parameters:
    ///   - offset: where to begin: 0, or what the last call returned.
    ///   - limit: the most records to hand out.
    ///   - body: takes each record.
    /// - Returns: where to go on; nil at the end.
    /// - Throws: `.damaged` at a line that is not whole, `.noLine` when no line begins at `offset`, `.io`, and what
    ///   `body` throws.
    public func records(
        from offset: UInt64, limit: Int, _ body: (Record) throws(JournalError) -> Void
    ) throws(JournalError) -> UInt64? {
        guard offset < size else { return nil }
        if offset > 0 {
            var before: [UInt8] = [0]
            let count = try onLog(file.path) { () throws(SystemError) in
                try file.read(into: &before, 0..<1, at: offset - 1)
            }
            guard count == 1, before[0] == 0x0A else { throw JournalError(.noLine(offset: offset), file: file.path) }
        }
        var reader = SegmentReader(file, from: offset, to: size, chunk: 1 << 16)
        var rest = limit
        var next = offset
        while rest > 0 {
            guard let segment = try reader.next() else { return nil }
            guard let line = segment.line else {
                if skipsDamage { next = segment.offset + segment.length; continue }
                let kind = JournalError.Kind.damaged(offset: segment.offset, line: nil, why: "no whole line here")
                throw JournalError(kind, file: file.path)
            }
            next = segment.offset + segment.length
            guard case .record(let seq, let durable, let operation, let json) = line else { continue }
            rest -= 1
            try body(
                Record(seq: seq, durable: durable, operation: operation, offset: segment.offset, json: json))
        }
        return next < size ? next : nil
    }
}
