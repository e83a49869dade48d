internal import Configuration
internal import ControlClient

/// Why a command ends without success: one line for people, and an exit code.
struct Failure: Error {
    let status: Int32
    let what: String
    let why: String
    let advice: String?

    /// A failure with the given exit code.
    init(_ status: Int32, _ what: String, _ why: String, _ advice: String? = nil) {
        self.status = status
        self.what = what
        self.why = why
        self.advice = advice
    }

    /// What the hub or the way to it said.
    init(_ error: ControlError) {
        let status =
            switch error.kind {
            case .unreachable, .busy: ExitStatus.unavailable
            case .forbidden, .notFound, .refused: ExitStatus.refused
            case .failed, .unreadable: ExitStatus.inputOutput
            case .address: ExitStatus.usage
            }
        self.init(status, error.subject, error.reason, error.advice)
    }

    /// What is wrong with the configuration.
    init(_ error: ConfigurationError) {
        self.init(ExitStatus.configuration, error.location, error.problem, error.advice)
    }

    /// Writes `nearhub: <what>: <why>; <what to do>` to stderr, whatever the parts contain, as one line.
    func report() {
        let line = "nearhub: \(what): \(why)" + (advice.map { "; \($0)" } ?? "")
        Output.complain(printable(line, limit: 2000))
    }
}
