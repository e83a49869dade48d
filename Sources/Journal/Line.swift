internal import JSON

/// One whole line of a log: a record, or a mark, which has no number.
///
/// A line is one JSON object and a newline. Its last member is `xxh3`, the XXH3-64 of every byte before it as 16
/// lower-case hexadecimal digits, so that the end of each line has the same form and is found from the end:
///
///     {"mark":"head","format":1,"log":"devices","id":"5f0c…","gen":1,"xxh3":"…"}
///     {"seq":42,"durable":41,"at":"2026-11-24T16:20:22.123Z","op":"put","device":{…},"xxh3":"…"}
///     {"mark":"sync","durable":42,"xxh3":"…"}
///
/// `durable` is the highest number that was surely on disk before the line's batch was written. So one valid line
/// proves that every line up to its `durable` must be whole; that tells rot from a batch which the power cut short.
enum Line {
    case record(seq: UInt64, durable: UInt64, operation: Operation, json: JSONValue)
    /// The first line.
    case head(log: Text, id: Text, generation: UInt64)
    /// The first line of a format that this program does not know.
    case newerHead(format: UInt64)
    /// In a log that compaction wrote: numbers have gaps up to here.
    case seal(upto: UInt64, lines: UInt64)
    /// All records up to `durable` are on disk, and all answers up to `settled` have been used or are forfeit.
    case sync(durable: UInt64, settled: UInt64)
    /// A mark or an operation that this program does not know.
    case unknown

    /// The format that this program writes and reads.
    static let format: UInt64 = 1
    /// The most bytes of a line, with its newline.
    static let limit = 128 * 1024
    /// Bytes of `,"xxh3":"0123456789abcdef"}`.
    static let tail = 27
    /// The highest number of a record: beyond it jq(1) would round.
    static let maximumSeq: UInt64 = 1 << 53 - 1

    /// Reads a line whose checksum is right; nil when it is not JSON, or not a line of a log.
    init?(_ bytes: [UInt8]) {
        guard let json = try? JSONValue.parse(bytes), let object = json.object else { return nil }
        func number(_ name: Text) -> UInt64? { object[name]?.unsigned.flatMap { $0 <= Self.maximumSeq ? $0 : nil } }
        if object[Name.seq] != nil {
            guard let seq = number(Name.seq), seq > 0, let durable = number(Name.durable),
                let operation = object[Name.operation]?.text
            else { return nil }
            switch operation {
            case Name.put: self = .record(seq: seq, durable: durable, operation: .put, json: json)
            case Name.delete: self = .record(seq: seq, durable: durable, operation: .delete, json: json)
            default: self = .unknown
            }
            return
        }
        guard let mark = object[Name.mark]?.text else { return nil }
        switch mark {
        case Name.sync:
            guard let durable = number(Name.durable) else { return nil }
            self = .sync(durable: durable, settled: number(Name.settled) ?? 0)
        case Name.seal:
            guard let upto = number(Name.upto), let lines = number(Name.lines) else { return nil }
            self = .seal(upto: upto, lines: lines)
        case Name.head:
            guard let format = number(Name.format), format > 0 else { return nil }
            guard format == Self.format else { self = .newerHead(format: format); return }
            guard let log = object[Name.log]?.text, let id = object[Name.id]?.text,
                let generation = number(Name.generation), generation > 0
            else { return nil }
            self = .head(log: log, id: id, generation: generation)
        default: self = .unknown
        }
    }

    /// What the line proves to be on disk, if it proves anything.
    var durable: UInt64? {
        switch self {
        case .record(_, let durable, _, _), .sync(let durable, _), .seal(let durable, _): durable
        case .head, .newerHead, .unknown: nil
        }
    }
}

/// Member names and values, made once.
private enum Name {
    static let seq: Text = "seq"
    static let durable: Text = "durable"
    static let operation: Text = "op"
    static let put: Text = "put"
    static let delete: Text = "delete"
    static let mark: Text = "mark"
    static let head: Text = "head"
    static let format: Text = "format"
    static let log: Text = "log"
    static let id: Text = "id"
    static let generation: Text = "gen"
    static let seal: Text = "seal"
    static let upto: Text = "upto"
    static let lines: Text = "lines"
    static let sync: Text = "sync"
    static let settled: Text = "settled"
}
