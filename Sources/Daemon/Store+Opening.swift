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
            let isPlain = recovery.torn == nil && recovery.rewrittenFrom == nil
            logger.log(level: isPlain ? .info : .warning, "\(recovery)")
        }
    }
}
