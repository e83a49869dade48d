internal import EventLoop
internal import Glibc
internal import Journal
internal import Logging
internal import Store

/// Watches over the reading of the logs at the start, which may take minutes on a slow card.
///
/// It says how far it is, asks systemd for more time, and ends it when the hub is told to stop.
final class StartProgress {
    /// From one line in the log to the next.
    private static let interval = Duration.seconds(5)
    /// What systemd is asked for each time: enough for the syncs that may follow (sd_notify(3)).
    private static let moreTime = "EXTEND_TIMEOUT_USEC=60000000"

    private let signals: Signals
    private let notifier: ServiceNotifier
    private let logger: Logger
    private var due = Duration.monotonic + interval

    init(_ signals: Signals, _ notifier: ServiceNotifier, _ logger: Logger) {
        self.signals = signals
        self.notifier = notifier
        self.logger = logger
    }

    /// Takes note of how far it is; throws `.stopped` when SIGTERM or SIGINT waits.
    func note(_ reading: Store.Reading) throws(JournalError) {
        guard !signals.isPending(SIGTERM), !signals.isPending(SIGINT) else {
            throw JournalError(.stopped, file: reading.file)
        }
        let now = Duration.monotonic
        guard now >= due else { return }
        due = now + Self.interval
        let text = "reading \(reading.name): \(reading.percent) % of \(reading.size / 1_000_000) MB"
        notifier.notify("\(Self.moreTime)\nSTATUS=\(text)")
        logger.notice("\(text)")
    }
}
