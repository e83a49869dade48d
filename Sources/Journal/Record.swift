public import JSON

/// What a record says about the thing it carries.
public enum Operation: Sendable, Hashable {
    /// This is its whole state from now on.
    case put
    /// It is gone.
    case delete
}

/// One record of a log, read back and verified.
public struct Record: Sendable {
    /// Its number: rises by one with each record of its log, from 1.
    public let seq: UInt64
    /// The highest `seq` of this log that was surely on disk before this record's batch was written.
    public let durable: UInt64
    /// What it says.
    public let operation: Operation
    /// Where its line began in the log when that was opened, in bytes; `Log.read(at:)` finds it by this wherever it is.
    public let offset: UInt64
    /// The whole line.
    public let json: JSONValue
}

extension Record {
    /// The same with another address.
    func at(_ address: UInt64) -> Record {
        Record(seq: seq, durable: durable, operation: operation, offset: address, json: json)
    }
}
