internal import EventLoop
internal import Glibc

/// How far long work is, for people at a terminal: a line on stderr once it has taken a second, rewritten in place.
final class Progress {
    private static let patience = Duration.seconds(1)
    private static let interval = Duration.milliseconds(100)
    private static let width = 30

    private let what: String
    private var next = Duration.monotonic + Progress.patience
    private var isShown = false
    private let isForPeople = isatty(STDERR_FILENO) == 1

    /// Work that begins now.
    init(_ what: String) {
        self.what = what
    }

    /// Shows how far it is; total 0 when that is unknown.
    ///
    /// - Parameter part: what of the work is done at present; nil when it has no parts.
    func show(_ done: UInt64, of total: UInt64, _ part: String? = nil) {
        guard isForPeople, .monotonic >= next else { return }
        next = .monotonic + Self.interval
        isShown = true
        let name = "\r\(what): " + (part.map { "\($0) " } ?? "")
        guard total > 0 else { return write("\(name)\(Self.amount(done))\u{1B}[K") }
        let share = min(1, Double(done) / Double(total))
        let bar = String(repeating: "#", count: Int(share * Double(Self.width)))
        let rest = String(repeating: ".", count: Self.width - bar.count)
        write("\(name)[\(bar)\(rest)] \(Int(share * 100)) % of \(Self.amount(total))\u{1B}[K")
    }

    /// Takes the line away.
    func end() {
        guard isShown else { return }
        isShown = false
        write("\r\u{1B}[K")
    }

    private static func amount(_ bytes: UInt64) -> String {
        bytes < 1 << 20 ? "\(bytes >> 10) KiB" : "\(bytes >> 20) MiB"
    }

    private func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}

/// Runs a body that shows its progress, and takes the line away at its end.
func inProgress<Result, Cause>(
    _ what: String, _ body: (Progress) throws(Cause) -> Result
) throws(Cause) -> Result {
    let progress = Progress(what)
    defer { progress.end() }
    return try body(progress)
}
