public import EventLoop

/// Why a log was not opened, read or written.
///
/// Its text never repeats what a line holds: that may be secret.
public struct JournalError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kinds of trouble, with what a program needs to tell them apart.
    public enum Kind: Sendable, Hashable {
        /// The log is damaged where it had been whole on disk: at this byte; the line is counted from 1 where known.
        case damaged(offset: UInt64, line: UInt64?, why: String)
        /// The log was written by a newer nearhub; `what` names what this one does not know.
        case newer(what: String)
        /// No line begins at this byte: the offset is not one that the log gave.
        case noLine(offset: UInt64)
        /// The newest state of what was asked for may be on a damaged line, so that nobody knows it.
        case lost
        /// The record's line would be longer than a line may be, 128 KiB; nothing was staged.
        case lineTooLong(bytes: Int)
        /// The record would not be read back as JSON; nothing was staged.
        case unreadable(why: String)
        /// All sequence numbers are used up (2^53 - 1); nothing was staged.
        case exhausted
        /// The disk takes no writes, and the next try is still to come; nothing was staged.
        case suspended(SystemError)
        /// What is free is kept so that the log can be compacted; nothing was staged.
        case noReserve(free: UInt64, wanted: UInt64)
        /// There is no room to write the log anew; the old one stays.
        case noRoom(free: UInt64, wanted: UInt64)
        /// The log has as many bytes as can be addressed; nothing was staged.
        case full(limit: UInt64)
        /// The log was written anew, and the sync of its name failed: after a power cut it may be the old one. `kept` is
        /// where that is kept, if it is.
        case unsettled(SystemError, kept: String?)
        /// Whoever reads the log does not want to go on.
        case stopped
        /// The operating system failed a call.
        case io(SystemError)
    }

    /// What is wrong.
    public let kind: Kind
    /// The path of the log, or its name where no path is known.
    public let file: String

    /// An error of the given kind on the given log.
    public init(_ kind: Kind, file: String) {
        self.kind = kind
        self.file = file
    }

    /// Whether the record is longer than a line may be.
    public var isTooLong: Bool {
        if case .lineTooLong = kind { true } else { false }
    }

    /// Whether a write found no room, or would not; a sync that says so has lost what was written.
    public var isFullDisk: Bool {
        switch kind {
        case .io(let cause): cause.isFullDisk && !cause.isOfSync
        case .noRoom: true
        default: false
        }
    }

    /// Whether nobody knows after it what the disk holds: a sync failed, or it is not certain which file has a name.
    var leavesDoubt: Bool {
        switch kind {
        case .io(let cause): cause.isOfSync || cause.call == "rename" && !cause.isFullDisk
        case .unsettled: true
        default: false
        }
    }

    /// One line for people, such as `devices.jsonl: damaged at byte 4711, line 12: seq 14 follows 12`.
    public var description: String {
        switch kind {
        case .damaged(let offset, let line?, let why): "\(file): damaged at byte \(offset), line \(line): \(why)"
        case .damaged(let offset, nil, let why): "\(file): damaged at byte \(offset): \(why)"
        case .newer(let what): "\(file): written by a newer nearhub: \(what)"
        case .noLine(let offset): "\(file): no line begins at byte \(offset)"
        case .lost: "\(file): its newest state may be on a damaged line"
        case .lineTooLong(let bytes): "\(file): a record of \(bytes) bytes, more than the \(Line.limit) a line may have"
        case .unreadable(let why): "\(file): a record that could not be read back: \(why)"
        case .exhausted: "\(file): all sequence numbers are used up"
        case .suspended(let error): "\(file): nothing can be written at present: \(error.reason)"
        case .noReserve(let free, let wanted):
            "\(file): \(free) bytes are free; \(wanted) are kept so that the log can be compacted"
        case .noRoom(let free, let wanted):
            "\(file): to write it anew takes \(wanted) bytes of free disk, and \(free) are free"
        case .full(let limit):
            "\(file): it has the \(limit >> 30) GiB that a log may have; nearhub log compact makes it shorter"
        case .unsettled(let error, let kept):
            "\(error): \(file) is written anew, but a power cut may bring the old one back"
                + (kept.map { "; the old one is kept as \($0)" } ?? "")
        case .stopped: "\(file): not read to its end"
        case .io(let error): error.subject.isEmpty ? "\(file): \(error)" : error.description
        }
    }
}

/// Runs a body whose system errors become errors of the given log.
func onLog<Result: ~Copyable>(
    _ file: String, _ body: () throws(SystemError) -> Result
) throws(JournalError) -> Result {
    do { return try body() } catch { throw JournalError(.io(error), file: file) }
}
