internal import EventLoop
internal import Glibc
internal import JSON
internal import TestSupport

@testable internal import Journal

extension TemporaryDirectory {
    /// The bytes of a file in it.
    func bytes(_ name: String = "devices.jsonl") throws -> [UInt8] {
        let file = try LogFile("\(path)/\(name)", O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: Int(try file.size()))
        _ = try file.read(into: &bytes, 0..<bytes.count, at: 0)
        return bytes
    }

    /// Puts a file of the given bytes there, in place of one that is there.
    func put(_ bytes: [UInt8], _ name: String = "devices.jsonl") throws {
        let file = try LogFile("\(path)/\(name)", O_RDWR | O_CREAT | O_TRUNC)
        try file.write(bytes, at: 0)
    }
}

/// A moment in 2026, in milliseconds since 1970.
let moment: Int64 = 1_795_537_222_123

/// A head with a fixed id, as other nearhubs might have written it.
let head =
    Array(
        #"{"mark":"head","format":1,"log":"devices","id":"5f0c0123456789abcdef0123456789ab","gen":1,"xxh3":"cb18ea7c9b7e065c"}"#
            .utf8) + [0x0A]

/// A line with its checksum and newline; `members` are all members without the braces.
func line(_ members: String) -> [UInt8] {
    var bytes = Array("{\(members)".utf8)
    bytes.closeLine(from: 0)
    return bytes
}

/// A record's line.
func record(_ seq: UInt64, durable: UInt64, id: String = "x") -> [UInt8] {
    line(#""seq":\#(seq),"durable":\#(durable),"at":"2026-11-24T16:20:22.123Z","op":"put","device":{"id":"\#(id)"}"#)
}

/// Opens the log `devices` and gives the numbers that it replays.
func open(_ directory: TemporaryDirectory) throws -> (log: Log, recovery: Recovery, seqs: [UInt64]) {
    var seqs: [UInt64] = []
    let (log, recovery) = try Log.open(directory: directory.path, name: "devices") { record, _ in
        seqs.append(record.seq)
    }
    return (log, recovery, seqs)
}

/// A journal whose failure no test expects.
func journal(_ logs: [Log]) throws -> Journal {
    try Journal(logs) { error in fatalError("\(error)") }
}

extension Log {
    /// Stages a small device.
    @discardableResult
    func put(_ id: String) throws -> UInt64 {
        try append(.put, at: moment) { writer in
            writer.name("device")
            writer.beginObject()
            writer.name("id")
            writer.text(Text(id))
            writer.endObject()
        }
    }
}

/// What `open` threw, as the kind of its error; nil when it threw nothing.
func refusal(_ directory: TemporaryDirectory) throws -> JournalError.Kind? {
    do { _ = try open(directory) } catch let error as JournalError { return error.kind }
    return nil
}

/// A log of 12 records in batches of 1, 4, 2 and 5, and where its lines end.
let twelve: (bytes: [UInt8], lines: [(start: Int, end: Int)]) = {
    var bytes = head
    var lines = [(0, head.count)]
    var seq: UInt64 = 0
    for count in [1, 4, 2, 5] {
        let durable = seq
        for _ in 0..<count {
            seq += 1
            let line = record(seq, durable: durable, id: "device \(seq)")
            lines.append((bytes.count, bytes.count + line.count))
            bytes += line
        }
    }
    return (bytes, lines)
}()
