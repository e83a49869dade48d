internal import EventLoop
internal import Glibc
internal import Journal
internal import Logging
internal import Store

extension Store {
    /// Opens the state for a hub and logs what was found; from then on an error of the disk ends the process.
    convenience init(
        directory: String, _ damage: Damage, _ progress: StartProgress, _ logger: Logger
    ) throws(DaemonError) {
        let state: StateDirectory
        do { state = try StateDirectory.open(directory) } catch { throw DaemonError(error) }
        do {
            try self.init(state, damage: damage, watch: progress.note) { error in
                logger.critical(
                    "\(error); the hub stops, since no further answer would be safe; it recovers at its next start")
                _exit(ExitStatus.inputOutput.rawValue)
            }
        } catch { throw DaemonError(error) }
        onSuspension = Self.tell(
            logger, "what was not on disk is taken back, changes are refused with STORAGE, all else goes on",
            again: "changes are accepted")
        upstream.onSuspension = Self.tell(
            logger, "upstream is told of nothing, all else goes on", again: "upstream is told on")
        onCompaction = { name, outcome in
            switch outcome {
            case .shorter(let before, let bytes):
                logger.notice("\(name).jsonl is written anew without what was replaced: \(bytes) bytes of \(before)")
            case .failed(let error):
                logger.warning("\(name).jsonl could not be written anew and stays: \(error); tried again later")
            case .notWorthwhile: break
            }
        }
        onShortage = { shortage in
            guard let shortage else { return logger.notice("the disk has room again: new devices are accepted") }
            logger.error("the disk is nearly full: \(shortage.error); new devices are refused with STORAGE")
        }
        onDamage = { error in
            logger.error("\(error); the list of devices passes over it; stop the hub and run: nearhub log repair")
        }
        onNearlyFull = { used, limit in
            logger.error(
                """
                devices.jsonl has used \(used >> 30) of the \(limit >> 30) GiB that it may have, then changes are refused \
                with STORAGE; run nearhub log compact, which makes it shorter or says what is in the way
                """)
        }
        logger.notice("state is in \(path)")
        for recovery in recoveries {
            let isWarning = recovery.torn != nil || recovery.damaged > 0
            let level: Logger.Level = isWarning ? .warning : recovery.rewrittenFrom != nil ? .notice : .info
            logger.log(level: level, "\(recovery)")
        }
        for line in damagedLines.prefix(20) { logger.error("not served, since it is damaged: \(line)") }
        if !damagedLines.isEmpty {
            let unattributed = damagedLines.count { !$0.isAttributed }
            logger.error(
                "\(unattributed) damaged lines cannot be attributed, \(heldBackDevices) devices are held back")
        }
        if orphanCount > 0 {
            logger.warning(
                "\(orphanCount) devices are of a profile that is not in profiles.jsonl; they keep their credentials")
        }
    }

    /// Says when the disk ceases to take writes, and when it takes them again: one line each.
    private static func tell(
        _ logger: Logger, _ consequence: String, again: String
    ) -> (Journal.Suspension?) -> Void {
        var began = Duration.monotonic
        return { suspension in
            guard let suspension else {
                let seconds = (.monotonic - began).components.seconds
                return logger.notice("the disk takes writes again after \(seconds) s: \(again)")
            }
            began = .monotonic
            let what = suspension.isFull ? "the disk is full" : "the disk takes no writes"
            let interval = Journal.retryInterval.components.seconds
            logger.error("\(what): \(suspension.error); \(consequence); tried again every \(interval) s")
        }
    }
}
