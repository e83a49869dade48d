public import EventLoop
internal import Glibc
internal import JSON

/// Writes down what changed and what was refused: `audit.jsonl` in the state directory, 10 MiB and four older files.
///
/// Not a log that anything rests on: it has no checksums, is not synced, and never holds up an answer. Lines of one
/// turn of the loop are written together. In a flood single lines are left out and counted by kind. When it cannot be
/// written, as on a full disk, lines are dropped; their number is written once that works again.
public final class AuditLog: EventSource {
    /// What the operator should know of.
    public enum Trouble: Sendable {
        /// Lines are dropped from now on.
        case failed(SystemError)
        /// Lines are written again; so many were dropped.
        case over(dropped: Int)
    }

    private static let retryTime = Duration.seconds(5)
    /// What is left to others on a disk that is nearly full: this log is what can be done without first.
    private static let leftToOthers: UInt64 = 4 << 20

    private let directory: String
    private let limit: Int
    private let report: (Trouble) -> Void
    private var space: FreeSpace
    private var file: AuditFile?
    private var pending = JSONWriter()
    private var pendingLines = 0
    private var dropped = 0
    private var retry: Duration?
    /// Devices that are provisioned: each line stands for a record on the disk.
    private var changes = FloodGate(burst: 50, perSecond: 50)
    /// Refusals cost whoever sends them nothing, so that they must not push out all that was before within the hour.
    private var refusals = FloodGate(burst: 50, perSecond: 10)

    /// A log in the given directory; nothing is written yet.
    ///
    /// - Parameters:
    ///   - directory: the state directory.
    ///   - limit: the length of a file, in bytes, before the next one is begun.
    ///   - report: is told when it cannot be written, and when it can again.
    public init(directory: String, limit: Int = 10 << 20, report: @escaping (Trouble) -> Void) {
        self.directory = directory
        space = FreeSpace(directory)
        self.limit = limit
        self.report = report
    }

    /// Adds a line to those of this turn.
    ///
    /// What administrators do always gets its line: they are few, and each line is a change.
    public func note(_ entry: AuditEntry) {
        let now = Duration.recent
        switch entry.result {
        case .provisioned: guard changes.admits(entry.kind, now: now) else { return }
        case .refused, .malformed: guard refusals.admits(entry.kind, now: now) else { return }
        case .created, .changed, .deleted: break
        }
        entry.write(to: &pending, at: .now)
        pendingLines += 1
    }

    /// Writes what is left; for a clean stop.
    public func close() {
        count(&changes)
        count(&refusals)
        retry = nil
        write()
    }

    // MARK: - In the loop

    /// None: it has only deadlines.
    public var descriptor: CInt? { nil }

    /// Time until counts are due, or until writing is tried again.
    public var timeout: Duration? {
        if pendingLines > 0 { return .zero }
        return due.map { $0 - .monotonic }
    }

    /// When something is due that does not come with a line.
    private var due: Duration? {
        var first = retry
        if let due = changes.due { first = min(first ?? due, due) }
        if let due = refusals.due { first = min(first ?? due, due) }
        return first
    }

    /// Nothing: all is done before the wait.
    public func run() {}

    /// Writes the lines of the last turn, and the counts that are due.
    public func prepare() {
        guard let timeout, timeout <= .zero else { return }
        let now = Duration.monotonic
        if let due = changes.due, due <= now { count(&changes) }
        if let due = refusals.due, due <= now { count(&refusals) }
        write()
    }

    private func count(_ gate: inout FloodGate) {
        for (kind, count) in gate.takeCounts() {
            kind.write(to: &pending, count: count, at: .now)
            pendingLines += 1
        }
    }

    // MARK: - Writing

    private func write() {
        defer {
            pending.bytes.removeAll(keepingCapacity: true)
            pendingLines = 0
        }
        if let retry, retry > .monotonic {
            dropped += pendingLines
            return
        }
        retry = nil
        guard pendingLines + dropped > 0 else { return }
        do throws(SystemError) {
            try append(lineOfDropped() + pending.bytes)
            if dropped > 0 { report(.over(dropped: dropped)) }
            dropped = 0
        } catch {
            file = nil
            if dropped == 0 { report(.failed(error)) }
            dropped += pendingLines
            retry = .monotonic + Self.retryTime
        }
    }

    private func append(_ lines: [UInt8]) throws(SystemError) {
        guard space.bytes() >= Self.leftToOthers else {
            throw SystemError("write", AuditPaths.path(directory, 0), code: ENOSPC)
        }
        var (file, size) = try open()
        if size > 0 && size + lines.count > limit {
            try AuditPaths.rotate(directory)
            self.file = nil
            (file, size) = try open()
        }
        try file.append(lines, at: size)
    }

    /// The newest file and its length; a new one if somebody has deleted it.
    private func open() throws(SystemError) -> (AuditFile, Int) {
        if let file, let size = try file.size() { return (file, size) }
        let file = try AuditFile(AuditPaths.path(directory, 0))
        self.file = file
        return (file, try file.size() ?? 0)
    }

    private func lineOfDropped() -> [UInt8] {
        guard dropped > 0 else { return [] }
        var json = JSONWriter()
        json.beginObject()
        AuditTime.now.write(to: &json)
        json.member("result", literal: "dropped")
        json.member("count", dropped)
        json.endObject()
        return json.bytes + [UInt8(ascii: "\n")]
    }
}
