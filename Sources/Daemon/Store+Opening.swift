internal import Glibc
internal import Journal
internal import Logging
internal import Store

extension Store {
    /// Opens the state for a hub and logs what was found; from then on an error of the disk ends the process.
    convenience init(directory: String, _ logger: Logger) throws(DaemonError) {
        let state: StateDirectory
        do { state = try StateDirectory.open(directory) } catch { throw DaemonError(error) }
        do {
            try self.init(state) { error in
                logger.critical(
                    "\(error); the hub stops, since no further answer would be safe; it recovers at its next start")
                _exit(ExitStatus.inputOutput.rawValue)
            }
        } catch { throw DaemonError(error) }
        logger.notice("state is in \(path)")
        for recovery in recoveries {
            let level: Logger.Level = recovery.torn != nil ? .warning : recovery.rewrittenFrom != nil ? .notice : .info
            logger.log(level: level, "\(recovery)")
        }
        if orphanCount > 0 {
            logger.warning(
                "\(orphanCount) devices are of a profile that is not in profiles.jsonl; they keep their credentials")
        }
    }
}
