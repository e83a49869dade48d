internal import Journal
internal import Store

extension Daemon {
    /// Takes what is done at present, such as `reading devices.jsonl`, and how many bytes of how many are done.
    public typealias ProgressWatch = (String, UInt64, UInt64) -> Void

    static func tell(_ progress: ProgressWatch, _ reading: Store.Reading) {
        progress("reading \(reading.name)", reading.bytes, reading.size)
    }

    /// What `verify` finds in one log.
    public struct LogVerdict: Sendable {
        /// The log's name, such as `devices`.
        public let name: String
        /// Whether the hub would serve it.
        public let isGood: Bool
        /// One line for people; names file, offset and line of damage.
        public let description: String
    }

    /// Reads all logs of a state from beginning to end and changes nothing; a hub may be using them.
    ///
    /// A process of root becomes one of the directory's owner, as in the functions below.
    ///
    /// - Parameters:
    ///   - state: the state directory.
    ///   - progress: takes how far it is.
    /// - Returns: a verdict on each log.
    /// - Throws: when the directory cannot be used, or a log cannot be read.
    public static func verifyLogs(_ state: String, progress: ProgressWatch) throws(DaemonError) -> [LogVerdict] {
        do throws(StateError) {
            try StateDirectory.actAsOwner(of: state)
            try StateDirectory.checkReadable(state)
        } catch { throw DaemonError(error) }
        let reports: [Store.LogReport]
        do { reports = try Store.verify(state, watch: { tell(progress, $0) }) } catch { throw DaemonError(error) }
        var verdicts: [LogVerdict] = []
        for report in reports {
            switch report.result {
            case .success(let recovery):
                verdicts.append(LogVerdict(name: report.name, isGood: true, description: "\(recovery)"))
            case .failure(let error):
                let failure = DaemonError(error)
                guard failure.status == .damagedData else { throw failure }
                verdicts.append(LogVerdict(name: report.name, isGood: false, description: "\(error)"))
            }
        }
        return verdicts
    }

    /// Writes logs anew without what later lines have replaced; no hub may be using them.
    ///
    /// - Parameters:
    ///   - state: the state directory.
    ///   - progress: takes how far it is.
    /// - Returns: a line for people for each log that has become shorter.
    /// - Throws: when a hub uses the directory, when a log is damaged, and failures of the disk.
    public static func compactLogs(
        _ state: String, progress: @escaping ProgressWatch
    ) throws(DaemonError) -> [String] {
        let directory = try lock(state)
        do {
            let compacted = try Store.compact(
                directory, watch: { tell(progress, $0) }, progress: { progress("writing \($0).jsonl anew", $1, $2) })
            return compacted.map { log in
                "\(log.file): \(log.records) records, \(log.bytes) bytes; before it had \(log.bytesBefore) bytes"
            }
        } catch { throw DaemonError(error) }
    }

    /// Writes damaged logs anew from what of them is whole; no hub may be using them.
    ///
    /// - Parameters:
    ///   - state: the state directory.
    ///   - progress: takes how far it is.
    ///   - repaired: takes lines for people on each log that was damaged and is whole now: one for each line that is left
    ///     out, with nothing secret in it, and one for all.
    /// - Throws: when a hub uses the directory, when a newer one wrote it, and failures of the disk; what `repaired` was
    ///   not told of is as it was, unless the error says otherwise.
    public static func repairLogs(
        _ state: String, progress: ProgressWatch, repaired: ([String]) -> Void
    ) throws(DaemonError) {
        let directory = try lock(state)
        do {
            try Store.repair(
                directory, watch: { tell(progress, $0) }, progress: { progress("writing \($0).jsonl anew", $1, $2) },
                movedUpstream: { kept in
                    repaired(["upstream.jsonl: kept as \(kept), since it tells of what is lost; upstream is told anew"])
                }
            ) { log, setAside in
                let done = log.map { log in
                    let isNewHub = log.file.hasSuffix("/admin.jsonl") && log.records == 0
                    let hub = isNewHub ? "; the hub has a new id from its next start on" : ""
                    guard let kept = log.kept else {
                        return "\(log.file): it was gone, and nothing of it is left; begun anew, with no record\(hub)"
                    }
                    let counts = "\(log.records) records, \(log.setAside) lines set aside"
                    return "\(log.file): written anew with \(counts); the damaged log is \(kept)\(hub)"
                }
                repaired(setAside.map(\.description) + [done].compactMap { $0 })
            }
        } catch { throw DaemonError(error) }
    }

    /// Takes the directory for this process.
    private static func lock(_ state: String) throws(DaemonError) -> StateDirectory {
        do {
            try StateDirectory.actAsOwner(of: state)
            try StateDirectory.check(state)
            return try StateDirectory.open(state)
        } catch { throw DaemonError(error) }
    }
}
