internal import EventLoop
internal import Glibc

/// How far long work is, for people at a terminal: a line on stderr once it has taken a second, rewritten in place.
struct Progress {
    private static let patience = Duration.seconds(1)
    private static let interval = Duration.milliseconds(100)
    private static let width = 30

    private let what: String
    private var next = Duration.monotonic + Self.patience
    private var isShown = false
    private let isForPeople = isatty(STDERR_FILENO) == 1

    /// Work that begins now.
    init(_ what: String) {
        self.what = what
    }

    /// Shows how far it is; total 0 when that is unknown.
    mutating func show(_ done: UInt64, of total: UInt64) {
        guard isForPeople, .monotonic >= next else { return }
        next = .monotonic + Self.interval
        isShown = true
        guard total > 0 else { return write("\r\(what): \(done >> 20) MiB") }
        let share = min(1, Double(done) / Double(total))
        let bar = String(repeating: "#", count: Int(share * Double(Self.width)))
        let rest = String(repeating: ".", count: Self.width - bar.count)
        write("\r\(what): [\(bar)\(rest)] \(Int(share * 100)) % of \(total >> 20) MiB")
    }

    /// Takes the line away.
    func end() {
        if isShown { write("\r\u{1B}[K") }
    }

    private func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
