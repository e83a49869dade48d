internal import EventLoop
internal import Glibc
internal import JSON

extension Log {
    /// The record of an address: from memory while it is not written yet, otherwise from the file; verified each time.
    ///
    /// - Parameter address: what `append` returned, or a `Record.offset`.
    /// - Throws: `.damaged` when the line is not whole any more, `.noLine` when no record can be there, `.io`.
    public func read(at address: UInt64) throws(JournalError) -> Record {
        guard let offset = addresses.place(of: address) else {
            throw JournalError(.noLine(offset: address), file: file.path)
        }
        if offset < size { return try EarlierRecords(file, size: size).read(at: offset).at(address) }
        let index = offset - size
        let isInFlight = index < UInt64(inFlight.count)
        let start = isInFlight ? index : index - UInt64(inFlight.count)
        let bytes = isInFlight ? inFlight : staging.bytes
        guard start < UInt64(bytes.count), let end = bytes[Int(start)...].firstIndex(of: 0x0A) else {
            throw JournalError(.noLine(offset: address), file: file.path)
        }
        return try Record(whole: Array(bytes[Int(start)..<end]), at: address, file: file.path)
    }

    /// Goes through the records that are in the file, in its order.
    ///
    /// - Parameters:
    ///   - offset: where to begin in the file: 0, or what the last call returned.
    ///   - limit: the most records to hand out.
    ///   - damaged: takes the error of each line that is not whole, which is then passed over.
    ///   - body: takes each record.
    /// - Returns: where to go on; nil at the end.
    /// - Throws: `.damaged` at a line that is not whole if nobody takes it, `.noLine` when no line begins at `offset`, `.io`,
    ///   and what `body` throws.
    public func records(
        from offset: UInt64, limit: Int, damaged: ((JournalError) -> Void)? = nil,
        _ body: (Record) throws(JournalError) -> Void
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
                let kind = JournalError.Kind.damaged(offset: segment.offset, line: nil, why: "no whole line here")
                let error = JournalError(kind, file: file.path)
                guard skipsDamage || damaged != nil else { throw error }
                damaged?(error)
                next = segment.offset + segment.length
                continue
            }
            next = segment.offset + segment.length
            guard case .record(let seq, let durable, let operation, let json) = line else { continue }
            rest -= 1
            try body(
                Record(
                    seq: seq, durable: durable, operation: operation,
                    offset: addresses.address(of: segment.offset), json: json))
        }
        return next < size ? next : nil
    }

    /// Goes through the records that are in the file, in its order; a compaction between two calls does no harm.
    ///
    /// - Parameters:
    ///   - seq: where to begin: behind the record of this number, or where it was.
    ///   - limit: the most records to hand out.
    ///   - damaged: takes the error of each line that is not whole, which is then passed over.
    ///   - body: takes each record.
    /// - Returns: the number to go on behind; nil at the end.
    /// - Throws: `.io`, and what `body` throws.
    public func records(
        after seq: UInt64, limit: Int, damaged: (JournalError) -> Void,
        _ body: (Record) throws(JournalError) -> Void
    ) throws(JournalError) -> UInt64? {
        guard seq < durableSeq else { return nil }
        let place = if let resume, resume.seq == seq { resume.place } else { try place(after: seq) }
        var last = seq
        let next = try withoutActuallyEscaping(damaged) { (damaged) throws(JournalError) in
            try records(from: place, limit: limit, damaged: damaged) { (record) throws(JournalError) in
                last = record.seq
                try body(record)
            }
        }
        guard let next else { return nil }
        resume = (last, next)
        return last
    }

    /// Where the first record above this number is, or the end of the file.
    ///
    /// Numbers rise from line to line, so it halves what is left until that is little.
    private func place(after seq: UInt64) throws(JournalError) -> UInt64 {
        guard seq > 0 else { return 0 }
        var (low, high) = (UInt64(0), size)
        while high - low > 1 << 15 {
            let middle = low + (high - low) / 2
            let found = try firstRecord(from: middle, to: high) { _ in true }
            if let found, found.seq <= seq { low = found.place } else { high = middle }
        }
        return try firstRecord(from: low, to: size) { $0 > seq }?.place ?? size
    }

    private func firstRecord(
        from start: UInt64, to end: UInt64, _ isWanted: (UInt64) -> Bool
    ) throws(JournalError) -> (place: UInt64, seq: UInt64)? {
        var reader = SegmentReader(file, from: start, to: end, chunk: 4096)
        while let segment = try reader.next() {
            if case .record(let seq, _, _, _)? = segment.line, isWanted(seq) { return (segment.offset, seq) }
        }
        return nil
    }
}
