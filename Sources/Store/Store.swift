internal import Crypto
public import EventLoop
internal import Glibc
internal import JSON
public import Journal
public import Provisioning

/// What exists, and that it is on disk: profiles and devices in two logs, an index of them in memory.
///
/// Every change is staged in a log and applied at once; whoever tells the outside of it does so in `whenDurable`. When
/// the disk does not take what is staged, all of it is undone, and changes are refused until the disk takes them again.
/// Not Sendable: it lives on the loop's thread, as the loop's last event source, so that all changes of a turn share one
/// group commit.
public final class Store {
    private let directory: StateDirectory
    let profilesLog: Log
    let devicesLog: Log
    /// What is remembered of upstream; an event source of the loop behind this one.
    public let upstream: UpstreamLog
    let identity: Identity
    let journal: Journal
    /// Called when a log has been written anew while it was used, or could not be; of failures in a row only with the first.
    public var onCompaction: ((String, Log.Moved) -> Void)?
    /// Called when devices.jsonl has used three quarters of its addresses, with how many bytes of how many: it will be full,
    /// unless a compaction gives them back.
    public var onNearlyFull: ((UInt64, UInt64) -> Void)?
    var compactions: Compactions
    /// Called when the disk takes no writes any more, and with nil when it takes them again.
    public var onSuspension: ((Journal.Suspension?) -> Void)?
    /// What opening the logs found, for people.
    public let recoveries: [Recovery]
    /// The damaged lines that are not served.
    public let damagedLines: [SetAside]
    /// Called once for each line of devices.jsonl that is found damaged while devices are listed.
    public var onDamage: ((JournalError) -> Void)?
    /// Where the damaged lines are that are known already.
    var knownDamage: Set<UInt64>
    /// Called when no device is added any more, to keep room for a compaction, and with nil when devices are again.
    public var onShortage: ((Shortage?) -> Void)?
    var reserve: Reserve
    var registry: Registry
    private var gate = ReplyGate()
    var windows: RepeatWindows
    var changes = Changes()
    private var marks: Marks
    private var marksDue: Duration?

    /// Opens the state: recovers both logs and reads them.
    ///
    /// - Parameters:
    ///   - directory: the locked state directory.
    ///   - damage: what to do with damaged logs.
    ///   - retryInterval: time from one try to the next while the disk takes no writes.
    ///   - firstCompaction: how long after the start a log may first be written anew unless somebody wants that.
    ///   - watch: is told now and then how far it is, and may end it; then what is stored has not changed.
    ///   - onFailure: ends the process when a sync failed; called on the committer's thread.
    /// - Throws: damage and failures of the disk.
    public init(
        _ directory: consuming StateDirectory, damage: Damage = .refuse,
        retryInterval: Duration = Journal.retryInterval, firstCompaction: Duration = .seconds(60),
        watch: @escaping ReadingWatch = { _ in },
        onFailure: @escaping @Sendable (JournalError) -> Never
    ) throws(JournalError) {
        try Self.checkAllThere(directory.path)
        var random = SystemRandom()
        var registry = Registry(seed: random.next())
        let (profiles, damagedProfiles) = try Self.openProfiles(directory.path, &registry, damage, watch)
        let own = try Self.openOwn(directory.path, damage)
        let proven = try Self.proven(
            try Log.Snapshot(directory: directory.path, name: "devices"), own.upstream, damage)
        let (devices, damagedDevices) = try Self.openDevices(
            directory.path, &registry, damage, watch, proven: proven)
        self.registry = registry
        damagedLines = damagedProfiles + damagedDevices + own.damaged
        knownDamage = Set(damagedDevices.map(\.offset))
        profilesLog = profiles.log
        devicesLog = devices.log
        identity = own.identity
        recoveries = [profiles.recovery, devices.recovery] + own.recoveries
        windows = RepeatWindows(settled: devicesLog.settled, seq: devicesLog.seq, now: monotonicSeconds())
        marks = Marks(profiles: profilesLog.seq, devices: devicesLog.seq, settled: devicesLog.settled)
        journal = try Journal(
            [profilesLog, devicesLog, identity.log], retryInterval: retryInterval, onFailure: onFailure)
        // One that a disk or the power ended is not begun again and again.
        let isBurnt = recoveries.contains(where: \.hadCompaction)
        upstream = try UpstreamLog(
            own.upstreamLog, own.upstream, about: devicesLog, isBurnt: isBurnt, retryInterval: retryInterval,
            onFailure: onFailure)
        reserve = Reserve(directory.path)
        self.directory = directory
        compactions = Compactions(
            firstLook: isBurnt ? max(firstCompaction, Compactions.pauses.longest) : firstCompaction)
        marksDue = windows.isOpen ? .monotonic + .seconds(1) : nil
        journal.onDurable = { [unowned self] in release() }
        journal.onTakenBack = { [unowned self] in takeBack() }
        journal.onResumed = { [unowned self] in resume() }
        journal.onMoved = { [unowned self] log, outcome in moved(log, outcome) }
        knowRecords()
        try keepIdentity()
    }

    /// Where the state is, absolute.
    public var path: String { directory.path }

    /// That the disk takes no writes at present; nil when it does.
    public var suspension: Journal.Suspension? { journal.suspension }

    /// Calls `reply` with nil when all that has been staged so far is on disk, at once if it is.
    ///
    /// When the disk did not take it, `reply` gets the reason: whatever was changed since is undone, and what was seen may
    /// never have been.
    public func whenDurable(_ reply: @escaping (JournalError?) -> Void) {
        let position = journal.position
        if journal.durablePosition >= position { reply(nil) } else { gate.hold(until: position, reply) }
    }

    /// Waits until everything is on disk and says so in the logs, or is undone if there is no room; for a clean stop.
    public func close() throws(JournalError) {
        try journal.flush()
        release()
        try upstream.close()
        let settled = settle()
        if marks.profiles < profilesLog.seq { profilesLog.mark() }
        if marks.devices < devicesLog.seq || marks.settled < settled { devicesLog.mark(settled: settled) }
        try journal.flush()
    }

    // MARK: - Changes

    /// Writes a new state of a device.
    ///
    /// - Parameters:
    ///   - device: the whole state.
    ///   - now: milliseconds since 1970.
    /// - Throws: `.lineTooLong`, `.suspended` and the like; then nothing has changed.
    public func put(_ device: Device, now: Int64) throws(JournalError) {
        guard devicesLog.nextAddress < Self.addressLimit else {
            throw JournalError(.full(limit: Self.addressLimit), file: "devices.jsonl")
        }
        let old = try find(.id(device.id))
        if old == nil { try checkReserve() }
        let offset = try devicesLog.append(.put, at: now) { json in
            json.name("device")
            device.write(to: &json)
        }
        if let old { noteName(old.device, is: device.name, now) }
        if let provisioned = device.provisioned, provisioned.seq == nil {
            windows.provisioned(seq: devicesLog.seq, now: monotonicSeconds())
        }
        let event = Event.device(device)
        registry.apply(event, at: offset, replacing: old)
        note(Change(event: event, offset: offset, seq: devicesLog.seq, old: old.map(Change.Old.device)))
    }

    /// Ends a device; without effect when there is none of its id.
    ///
    /// - Throws: as `put` does; then nothing has changed.
    public func delete(_ device: Device, now: Int64) throws(JournalError) {
        guard let old = try find(.id(device.id)) else { return }
        let offset = try devicesLog.append(.delete, at: now) { json in
            json.name("device")
            json.beginObject()
            json.member("id", device.id)
            json.endObject()
        }
        let event = Event.deviceDeleted(id: device.id)
        registry.apply(event, at: offset, replacing: old)
        note(Change(event: event, offset: offset, seq: devicesLog.seq, old: .device(old)))
    }

    /// Writes a new state of a profile.
    public func put(_ profile: DeviceProfile, now: Int64) throws(JournalError) {
        let offset = try profilesLog.append(.put, at: now) { json in
            json.name("profile")
            profile.write(to: &json)
        }
        note(
            Change(
                event: .profile(profile), offset: offset, seq: profilesLog.seq,
                old: registry.profiles[profile.id].map(Change.Old.profile)))
        registry.apply(.profile(profile), at: offset)
    }

    /// Ends a profile.
    public func delete(_ profile: DeviceProfile, now: Int64) throws(JournalError) {
        let offset = try profilesLog.append(.delete, at: now) { json in
            json.name("profile")
            json.beginObject()
            json.name("id")
            json.entity("DEVICE_PROFILE", profile.id)
            json.endObject()
        }
        note(
            Change(
                event: .profileDeleted(id: profile.id), offset: offset, seq: profilesLog.seq,
                old: registry.profiles[profile.id].map(Change.Old.profile)))
        registry.apply(.profileDeleted(id: profile.id), at: offset)
    }

    // MARK: - A disk that takes no writes

    private func takeBack() {
        changes.revert(&registry)
        windows.takeBack(to: devicesLog.seq)
        // Marks may have been cut off with the rest; the next ones say all again.
        marks = Marks(profiles: 0, devices: 0, settled: 0)
        marksDue = nil
        upstream.takeBackDecisions()
        if let suspension { onSuspension?(suspension) }
        for reply in gate.takeAll() { reply(suspension?.error) }
    }

    private func resume() {
        onSuspension?(nil)
        touched()
    }

    // MARK: - Marks

    /// Notes in the logs, without a sync, how far they are on disk and which windows have run out.
    ///
    /// - Returns: when there may be more to note; nil when there is not.
    private func keepMarks() -> Duration? {
        let settled = settle()
        let now = monotonicSeconds()
        if marks.wantsProfiles(durable: profilesLog.durableSeq, now: now) {
            profilesLog.mark()
            marks.profiles = profilesLog.durableSeq
        }
        if marks.wantsDevices(durable: devicesLog.durableSeq, settled: settled, windowsOpen: windows.isOpen, now: now) {
            devicesLog.mark(settled: settled)
            marks.noted(devices: devicesLog.durableSeq, settled: settled, now: now)
        }
        if marks.profiles < profilesLog.seq || marks.devices < devicesLog.seq { return .seconds(1) }
        return windows.isOpen ? .seconds(10) : nil
    }

    private func note(_ change: Change) {
        changes.append(change)
        touched()
    }

    private func touched() {
        marks.touched(at: monotonicSeconds())
        let soon = Duration.recent + .seconds(1)
        marksDue = min(marksDue ?? soon, soon)
        upstream.touched()
    }

    private func settle() -> UInt64 {
        let longest = profiles.lazy.map { profile -> UInt64 in
            if case .seconds(let seconds) = profile.settings.repeatWindow { UInt64(seconds) } else { 0 }
        }
        windows.settle(longest: longest.max() ?? 0, seq: devicesLog.seq, now: monotonicSeconds())
        return windows.settled
    }

    private func release() {
        changes.settle(profiles: profilesLog.durableSeq, devices: devicesLog.durableSeq)
        while let reply = gate.next(through: journal.durablePosition) { reply(nil) }
        wroteMore()
    }

    // MARK: - Reading

    /// The device of a key, read back.
    func find(_ key: Registry.Key) throws(JournalError) -> Registry.Located? {
        // Asked of the index itself: it costs less than to ask the registry, of which Swift then makes a copy.
        let candidates =
            switch key {
            case .id(let id): registry.byId.candidates(id.utf8)
            case .name(let name): registry.byName.candidates(name.utf8)
            case .credentialsId(let id): registry.byCredentialsId.candidates(id.utf8)
            }
        return try key.find(in: candidates, read)
    }

    func read(_ offset: UInt64) throws(JournalError) -> Device {
        try Self.device(in: devicesLog, at: offset)
    }

    /// Goes through the devices that are on disk, in the order of their last change; damaged lines are passed over.
    ///
    /// - Parameters:
    ///   - cursor: 0 to begin, later what the last call returned.
    ///   - limit: the most devices; fewer when it would keep the loop for longer than 2 ms.
    ///   - body: takes each device.
    /// - Returns: where to go on; nil at the end.
    public func devices(after cursor: UInt64, limit: Int, _ body: (Device) -> Void) throws(JournalError) -> UInt64? {
        let deadline = Duration.monotonic + .milliseconds(2)
        var next: UInt64? = cursor
        var left = limit
        while let cursor = next, left > 0, left == limit || .monotonic < deadline {
            let slice = min(left, 32)
            next = try devicesLog.records(after: cursor, limit: slice, damaged: noteDamage) {
                (record) throws(JournalError) in
                guard let device = try? Device(record), registry.isNewest(device.id, at: record.offset) else { return }
                body(device)
            }
            left -= slice
        }
        return next
    }

    /// The logs' figures, for `status`: name, sequence number, durable one, bytes.
    public var logs: [(name: String, seq: UInt64, durable: UInt64, bytes: UInt64)] {
        [profilesLog, devicesLog].map { ($0.name, $0.seq, $0.durableSeq, $0.size) }
    }
}

extension Store: EventSource {
    /// Readable when a group is on disk.
    public var descriptor: CInt? { journal.descriptor }

    /// Time until the logs want a mark, until the disk is tried again, or until there may be dead lines.
    public var timeout: Duration? {
        let marks = journal.timeout ?? marksDue.map { $0 - .monotonic }
        guard let compaction = compactionTimeout else { return marks }
        return min(marks ?? compaction, compaction)
    }

    /// Releases what has become durable, and keeps the marks.
    public func run() {
        journal.run()
        lookForDead()
        guard suspension == nil else { return }
        guard let due = marksDue, due <= .monotonic else { return }
        marksDue = keepMarks().map { .monotonic + $0 }
    }

    /// Starts a group commit with what this turn has changed.
    public func prepare() { journal.prepare() }
}

/// Whole seconds of the monotonic clock.
func monotonicSeconds() -> UInt64 { UInt64(clamping: Duration.recent.components.seconds) }
