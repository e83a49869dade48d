internal import EventLoop
internal import JSON

/// The records of a log that lie before the one being replayed.
public struct EarlierRecords {
    private let log: LogFile
    /// The length of the log, in bytes.
    public let size: UInt64

    /// The records in the first `size` bytes of a file.
    init(_ log: LogFile, size: UInt64) {
        self.log = log
        self.size = size
    }

    /// The path of the log, for errors.
    public var file: String { log.path }

    /// The record at the offset that its `Record.offset` gave.
    ///
    /// - Throws: `.damaged` when the line is not whole any more, `.io`.
    public func read(at offset: UInt64) throws(JournalError) -> Record {
        // Nearly every line fits the first try.
        for length in [1024, Line.limit] {
            var bytes = [UInt8](repeating: 0, count: Int(min(UInt64(length), size - min(size, offset))))
            let count = try onLog(log.path) { () throws(SystemError) in
                try log.read(into: &bytes, 0..<bytes.count, at: offset)
            }
            guard let end = bytes[..<count].firstIndex(of: 0x0A) else { continue }
            bytes.removeSubrange(end...)
            return try Record(whole: bytes, at: offset, file: log.path)
        }
        throw JournalError(.damaged(offset: offset, line: nil, why: "no end of the line"), file: log.path)
    }
}

extension Record {
    /// The record of a line without its newline; its checksum is verified.
    init(whole line: [UInt8], at offset: UInt64, file: String) throws(JournalError) {
        let isIntact = unsafe line.withUnsafeBytes { unsafe Line.isIntact($0) }
        guard isIntact, case .record(let seq, let durable, let operation, let json)? = Line(line) else {
            throw JournalError(.damaged(offset: offset, line: nil, why: "no whole record here"), file: file)
        }
        self.init(seq: seq, durable: durable, operation: operation, offset: offset, json: json)
    }
}
