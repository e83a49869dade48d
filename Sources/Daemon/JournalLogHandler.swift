internal import Glibc
internal import Logging

/// Writes log lines to standard error as the systemd journal wants them.
///
/// One line an event, its priority in front (`<6>`, sd-daemon(3)). On a terminal the level is a word.
struct JournalLogHandler: LogHandler {
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]
    private let isTerminal = isatty(STDERR_FILENO) == 1

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let prefix = isTerminal ? "\(event.level.rawValue): " : "<\(event.level.priority)>"
        var line = Array(prefix.utf8)
        // A line break in a message must not begin a line of its own.
        line.append(contentsOf: "\(event.message)".utf8.map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: " ") : $0 })
        line.append(UInt8(ascii: "\n"))
        _ = unsafe write(STDERR_FILENO, line, line.count)
    }
}

extension Logger.Level {
    /// The priority of syslog(3).
    fileprivate var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
