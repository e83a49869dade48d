internal import EventLoop
public import Journal
internal import Provisioning

/// When the logs are looked at for what later lines have replaced, and what came of it.
struct Compactions {
    /// What is known of one log.
    struct Known {
        /// Records when it was opened or last written anew, of which the last had this number; nil when it is not known.
        var records: (count: UInt64, seq: UInt64)?
        /// Bytes that were live at the last look, and the address that the next record had then.
        var live: (bytes: UInt64, address: UInt64)?
        /// Nothing is worth while before the log's addresses reach this.
        var nextAddress: UInt64 = 0
        /// Set while the last attempt failed: how long the next one waits.
        var pause: Duration?
    }

    /// Least length of a log that is written anew without being told to.
    static let leastSize: UInt64 = 1 << 20
    /// How long the next attempt waits after one that failed, at first and at most.
    static let pauses = (first: Duration.seconds(60), longest: Duration.seconds(3600))

    /// What is known of profiles.jsonl.
    private var profiles = Known()
    /// What is known of devices.jsonl.
    private(set) var devices = Known()
    /// When the next look may be; nil when nothing was written since the last one.
    var due: Duration?
    /// Logs that somebody wants to be written anew.
    var wanted: [Store.LogName] = []
    /// Whether somebody was told that the addresses run out.
    var isNearlyFull = false
    /// Whether the one under way was wanted.
    var isForced = false
    /// How often somebody wanted it.
    var runs: UInt64 = 0
    /// What the last wanted one has done so far.
    var outcomes: [(log: String, outcome: Log.Moved)] = []

    /// What is known of a log.
    subscript(log: Log) -> Known {
        get { log.name == "devices" ? devices : profiles }
        set { if log.name == "devices" { devices = newValue } else { profiles = newValue } }
    }

    /// Nothing is known yet; the logs are looked at after this time.
    init(firstLook: Duration) { due = .monotonic + firstLook }
}

extension Store {
    /// How far compactions are that were asked for by `compact`.
    public struct CompactionStatus {
        /// How many there were.
        public let runs: UInt64
        /// Whether the last one goes on.
        public let isRunning: Bool
        /// The log that is written anew at present, asked for or not, and how many bytes of how many are read for it.
        public let current: (log: String, done: UInt64, total: UInt64)?
        /// What the last one that was asked for has done so far.
        public let outcomes: [(log: String, outcome: Log.Moved)]
    }

    /// Writes both logs anew, one after the other, while they are used; without effect when that goes on already.
    public func compact() {
        guard compactions.wanted.isEmpty, !compactions.isForced else { return }
        compactions.runs += 1
        compactions.outcomes = []
        compactions.wanted = [.profiles, .devices]
        lookForDead()
    }

    /// How far that is.
    public var compactionStatus: CompactionStatus {
        CompactionStatus(
            runs: compactions.runs, isRunning: compactions.isForced || !compactions.wanted.isEmpty,
            current: journal.compaction, outcomes: compactions.outcomes)
    }

    /// Time until the logs are to be looked at.
    var compactionTimeout: Duration? {
        guard journal.compaction == nil, suspension == nil else { return nil }
        return compactions.wanted.isEmpty ? compactions.due.map { max(.zero, $0 - .monotonic) } : .zero
    }

    /// Begins to write a log anew, if somebody wants that, or it may be worth while and is time.
    func lookForDead() {
        guard compactions.due != nil || !compactions.wanted.isEmpty else { return }
        guard journal.compaction == nil, suspension == nil else { return }
        if let name = compactions.wanted.first {
            compactions.wanted.removeFirst()
            begin(name == .profiles ? profilesLog : devicesLog, isForced: true)
        } else if let due = compactions.due, due <= .monotonic {
            compactions.due = nil
            guard let log = [profilesLog, devicesLog].first(where: mayBeHalfDead) else { return }
            begin(log, isForced: false)
        }
    }

    /// Something was written: looks at the logs in a second.
    func wroteMore() {
        if compactions.due == nil { compactions.due = .monotonic + .seconds(1) }
        let limit = Self.addressLimit
        guard devicesLog.nextAddress > limit / 4 * 3, !compactions.isNearlyFull else { return }
        compactions.isNearlyFull = true
        onNearlyFull?(devicesLog.nextAddress, limit)
    }

    /// Where an address of devices.jsonl is too high for a further line.
    static var addressLimit: UInt64 { HashIndex.maximumOffset - (1 << 30) + 1 }

    /// Has lines of devices.jsonl addressed by where they are now, once half of the addresses is used.
    ///
    /// That is due once in some 30 GiB of changes; it keeps the loop for 10 ms with 100,000 devices, 0.4 s with a million.
    private func renewAddresses() {
        let used = devicesLog.nextAddress
        guard used > Self.addressLimit / 2, used > 2 * devicesLog.size else { return }
        let renewed = devicesLog.renewAddresses()
        // What a damaged line may have been about stays so. All else is in the log, since a compaction keeps it.
        let new = { renewed($0) ?? Self.heldBack }
        registry.renew { $0 == Self.heldBack ? $0 : new($0) }
        changes.renew(new)
        compactions.isNearlyFull = false
    }

    private func begin(_ log: Log, isForced: Bool) {
        compactions.isForced = isForced
        let isDevices = log === devicesLog
        do {
            let untold = isDevices ? try Self.untoldDeletions(in: log, upstreamCursor) : .max
            _ = try journal.compact(
                log, isForced: isForced, key: isDevices ? LogName.devices.key : LogName.profiles.key,
                isLive: isDevices ? { [unowned self] in registry.isLive($0, untold) } : nil)
        } catch { moved(log, .failed(error)) }
    }

    /// Takes note of how it ended.
    func moved(_ log: Log, _ outcome: Log.Moved) {
        var known = compactions[log]
        compactions.due = .monotonic + .seconds(1)
        if case .shorter = outcome, log === devicesLog { renewAddresses() }
        switch outcome {
        case .shorter(_, let bytes): known.live = (bytes, log.nextAddress)
        case .notWorthwhile(let live): known.live = (live, log.nextAddress)
        case .failed: break
        }
        switch outcome {
        case .shorter, .notWorthwhile:
            known.records = nil
            known.pause = nil
            // Half of a log can be dead only when it has grown by as much as there is live of it, or a part of that.
            known.nextAddress = log.nextAddress + max(Compactions.leastSize / 2, log.size / 4)
        case .failed:
            let pause = known.pause.map { min($0 * 2, Compactions.pauses.longest) } ?? Compactions.pauses.first
            compactions.due = .monotonic + pause
            if known.pause == nil || compactions.isForced { onCompaction?(log.name, outcome) }
            known.pause = pause
        }
        if case .shorter = outcome { onCompaction?(log.name, outcome) }
        compactions[log] = known
        if compactions.isForced { compactions.outcomes.append((log.name, outcome)) }
        compactions.isForced = false
    }

    /// Whether a look at it may find that more than half of it is dead.
    private func mayBeHalfDead(_ log: Log) -> Bool {
        guard log.size > Compactions.leastSize, damagedLines.isEmpty else { return false }
        let known = compactions[log]
        guard log.nextAddress >= known.nextAddress else { return false }
        guard let records = known.records else { return true }
        let live = log === devicesLog ? deviceCount : profiles.count
        return records.count + log.seq - records.seq > UInt64(live)
    }

    /// Takes note of what opening the logs found.
    func knowRecords() {
        for (log, recovery) in zip([profilesLog, devicesLog], recoveries) {
            compactions[log].records = (UInt64(recovery.records), log.seq)
        }
    }
}
