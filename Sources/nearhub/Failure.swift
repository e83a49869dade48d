internal import Backup
internal import Configuration
internal import ControlClient
internal import Daemon
internal import Glibc
internal import JSON

/// Why a command ends without success: one line for people, and an exit code.
struct Failure: Error {
    private let status: ExitStatus
    private let line: String

    /// A failure told as `<what>: <why>; <what to do>`.
    init(_ status: ExitStatus, _ what: String, _ why: String, _ advice: String? = nil) {
        self.status = status
        line = "\(what): \(why)" + (advice.map { "; \($0)" } ?? "")
    }

    /// What the hub or the way to it said.
    init(_ error: ControlError) {
        status =
            switch error.kind {
            case .unreachable, .busy: .unavailable
            case .forbidden, .notFound, .refused: .refused
            case .failed, .unreadable: .inputOutput
            case .address: .usage
            }
        line = error.description
    }

    /// What is wrong with the configuration.
    init(_ error: ConfigurationError) {
        status = .configuration
        line = error.description
    }

    /// Why the daemon would not start.
    init(_ error: DaemonError) {
        status = error.status
        line = error.description
    }

    /// Why there is no backup, or no restored state.
    init(_ error: BackupError) {
        status =
            switch error.kind {
            case .refused: .refused
            case .damaged: .damagedData
            case .inputOutput: .inputOutput
            }
        line = error.description
    }

    /// Writes `nearhub: ` and the line to stderr, one line whatever its parts contain, and ends the process.
    func end() -> Never {
        Output.complain(printable("nearhub: \(line)", limit: 2000))
        exit(status.rawValue)
    }
}
