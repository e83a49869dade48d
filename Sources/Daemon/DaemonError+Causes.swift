internal import EventLoop
internal import Journal
internal import Store

extension DaemonError {
    /// A log that could not be opened or read.
    init(_ error: JournalError) {
        switch error.kind {
        case .damaged:
            self.init(
                .damagedData,
                "\(error); nothing was changed; restore this file from a backup, or run: nearhub log repair")
        case .newer: self.init(.damagedData, "\(error); install that version or a newer one")
        case .stopped: self.init(.done, "stopped while the state was read: \(error); what is stored has not changed")
        case .io where error.isFullDisk:
            self.init(.inputOutput, "\(error); what is stored has not changed; make room on that disk and start again")
        default: self.init(.inputOutput, "\(error)")
        }
    }

    /// A state directory that cannot be used.
    init(_ error: StateError) {
        let status: ExitStatus =
            switch error.kind {
            case .exposed: .configuration
            case .busy: .unavailable
            case .system: .inputOutput
            }
        self.init(status, error.description)
    }

    /// A system call that the hub cannot do without.
    init(_ error: SystemError) {
        self.init(.inputOutput, error.description)
    }
}
