internal import EventLoop
internal import Glibc
internal import Journal

/// Why a backup or a restore was not done; says what to do.
public struct BackupError: Error, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Kind: Sendable {
        /// It would destroy something, or is not allowed.
        case refused
        /// The state or the archive is damaged.
        case damaged
        /// The system refused.
        case inputOutput
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// One line for people.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// A system call that failed.
    init(_ error: SystemError) {
        switch error.code {
        case EACCES, EPERM: self.init(.refused, "\(error); only root and the hub's own user may do this")
        default: self.init(.inputOutput, "\(error)")
        }
    }

    /// A log that cannot be used.
    init(_ error: JournalError, _ advice: String) {
        switch error.kind {
        case .damaged, .newer: self.init(.damaged, "\(error); \(advice)")
        default: self.init(.inputOutput, "\(error)")
        }
    }
}

/// Runs a body whose failed system calls end a backup or a restore.
func orFail<Result: ~Copyable>(_ body: () throws(SystemError) -> Result) throws(BackupError) -> Result {
    do { return try body() } catch { throw BackupError(error) }
}
