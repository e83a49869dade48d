internal import Journal
internal import Store

extension Daemon {
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
    /// - Parameter state: the state directory.
    /// - Returns: a verdict on each log.
    /// - Throws: when the directory cannot be used, or a log cannot be read.
    public static func verifyLogs(_ state: String) throws(DaemonError) -> [LogVerdict] {
        do throws(StateError) {
            try StateDirectory.actAsOwner(of: state)
            try StateDirectory.check(state)
        } catch { throw DaemonError(error) }
        var verdicts: [LogVerdict] = []
        for report in Store.verify(state) {
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
    ///   - progress: takes how many bytes of a log's how many are done.
    /// - Returns: a line for people for each log that has become shorter.
    /// - Throws: when a hub uses the directory, when a log is damaged, and failures of the disk.
    public static func compactLogs(
        _ state: String, progress: (UInt64, UInt64) -> Void
    ) throws(DaemonError) -> [String] {
        let directory = try lock(state)
        do {
            return try Store.compact(directory, progress: progress).map { log in
                "\(log.file): \(log.records) records, \(log.bytes) bytes; before it had \(log.bytesBefore) bytes"
            }
        } catch { throw DaemonError(error) }
    }

    /// Writes damaged logs anew from what of them is whole; no hub may be using them.
    ///
    /// - Parameters:
    ///   - state: the state directory.
    ///   - setAside: takes a line for people for each line that is left out; nothing secret is in it.
    ///   - progress: takes how many bytes of a log's how many are done.
    /// - Returns: a line for people for each log that was damaged.
    /// - Throws: when a hub uses the directory, when a newer one wrote it, and failures of the disk.
    public static func repairLogs(
        _ state: String, setAside: (String) -> Void, progress: (UInt64, UInt64) -> Void
    ) throws(DaemonError) -> [String] {
        let directory = try lock(state)
        do {
            let repaired = try Store.repair(
                directory, setAside: { setAside($0.description) }, progress: { progress($1, $2) })
            return repaired.map { log in
                let counts = "\(log.records) records, \(log.setAside) lines set aside"
                return "\(log.file): written anew with \(counts); the damaged log is \(log.kept)"
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
