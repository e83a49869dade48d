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
        guard let line = try log.line(at: offset, size: size) else {
            throw JournalError(.damaged(offset: offset, line: nil, why: "no end of the line"), file: log.path)
        }
        return try Record(whole: line, at: offset, file: log.path)
    }
}

extension LogFile {
    /// The bytes at an offset up to the next newline, in a log of the given size; nil when there is none in reach.
    func line(at offset: UInt64, size: UInt64) throws(JournalError) -> [UInt8]? {
        // Nearly every line fits the first try.
        for length in [1024, Line.limit] {
            var bytes = [UInt8](repeating: 0, count: Int(min(UInt64(length), size - min(size, offset))))
            let count = try onLog(path) { () throws(SystemError) in
                try read(into: &bytes, 0..<bytes.count, at: offset)
            }
            guard let end = bytes[..<count].firstIndex(of: 0x0A) else { continue }
            bytes.removeSubrange(end...)
            return bytes
        }
        return nil
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
