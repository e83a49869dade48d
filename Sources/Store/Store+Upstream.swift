internal import EventLoop
public import JSON
public import Journal
public import Provisioning

extension Store {
    /// The hub's own id: 32 random hexadecimal digits, made at its first start.
    public var hub: Text { identity.hub }

    /// How far upstream was told of the device log.
    public var upstreamCursor: UpstreamCursor { upstream.content.entry.cursor }

    /// What is to be remembered of devices and upstream, by their ids.
    public var syncStates: [Text: SyncState] { upstream.content.states }

    /// That the disk takes nothing of what is noted of upstream at present; it is written once the disk does again.
    public var upstreamSuspension: Journal.Suspension? { upstream.journal.suspension }

    /// Remembers how far upstream was told; written behind all states noted so far, not synced at once.
    public func note(_ cursor: UpstreamCursor) { upstream.note(cursor) }

    /// Remembers the state of a device; nil when there is nothing to remember any more; not synced at once.
    public func note(_ state: SyncState?, of device: Text) { upstream.note(state, of: device) }

    /// Remembers what was decided of a device; undone if the disk does not take what was changed of devices before.
    public func decide(_ state: SyncState?, of device: Text) { upstream.decide(state, of: device) }

    /// Calls `reply` with nil when all that was noted is on disk, or with the reason why it is not yet.
    public func whenNoted(_ reply: @escaping (JournalError?) -> Void) { upstream.whenSynced(reply) }

    /// A line of devices.jsonl as upstream sees it.
    public enum DeviceLine {
        /// The newest state of a device; the number is that of the line.
        case device(Device, seq: UInt64)
        /// A device has ended, and none of its id has come since.
        case deleted(Text, seq: UInt64)
        /// A later line says something else of the same device.
        case replaced
        /// The line is damaged: where, and how.
        case damaged(JournalError)
    }

    /// The next line of devices.jsonl that is on disk; moves the place behind it.
    ///
    /// - Returns: nil at the end, and at a line whose successor is not on disk yet: that one may still be taken back.
    public func nextDevice(after place: inout Log.Place) throws(JournalError) -> DeviceLine? {
        var next = place
        guard let step = try devicesLog.next(after: &next) else { return nil }
        let record: Record
        switch step {
        case .record(let found): record = found
        case .damaged(let offset):
            place = next
            return .damaged(Self.damaged(at: offset, "not a line that was written whole"))
        }
        guard let event = try? Event(deviceRecord: record) else {
            place = next
            return .damaged(Self.damaged(at: record.offset, "seq \(record.seq) says nothing of a device"))
        }
        let id: Text
        let line: DeviceLine
        switch event {
        case .device(let device): (id, line) = (device.id, .device(device, seq: record.seq))
        case .deviceDeleted(let deleted): (id, line) = (deleted, .deleted(deleted, seq: record.seq))
        case .profile, .profileDeleted:
            place = next
            return .damaged(Self.damaged(at: record.offset, "seq \(record.seq) says nothing of a device"))
        }
        let newest = registry.byId.candidates(id.utf8)
        if newest.contains(where: devicesLog.isStaged) || (newest.isEmpty && changes.end(id)) { return nil }
        // A read that fails leaves the place where it is: the line comes again.
        let isNewest = if case .deleted = line { try device(id: id) == nil } else { newest.contains(record.offset) }
        place = next
        return isNewest ? line : .replaced
    }

    private static func damaged(at offset: UInt64, _ why: String) -> JournalError {
        JournalError(.damaged(offset: offset, line: nil, why: why), file: "devices.jsonl")
    }

    /// Whether the newest line of a device is not on disk yet, and may be taken back.
    public func isStaged(_ device: Text) throws(JournalError) -> Bool {
        guard let found = try find(.id(device)) else { return changes.end(device) }
        return devicesLog.isStaged(found.offset)
    }

    /// Whether there is a device of this id, by the index in memory, which rarely takes another one for it.
    public func mayHave(_ device: Text) -> Bool { !registry.byId.candidates(device.utf8).isEmpty }

    /// Remembers by which name upstream knows a device that gets another one: not every dialect can say so there.
    func noteName(_ device: Device, is new: Text, _ now: Int64) {
        guard device.name != new, device.provisioned != nil, !upstreamCursor.target.isEmpty else { return }
        var state = syncStates[device.id] ?? SyncState(.confirmed, seq: 0, since: now)
        guard state.name == nil, state.formerName == nil else { return }
        state.formerName = device.name
        note(state, of: device.id)
    }

    /// The newest state of a device that is on disk, and the number of its line; nil when there is none.
    public func durableDevice(id: Text) throws(JournalError) -> (device: Device, seq: UInt64)? {
        guard let found = try find(.id(id)), !devicesLog.isStaged(found.offset) else { return nil }
        return (found.device, try devicesLog.read(at: found.offset).seq)
    }

    /// The number of a device's newest line, on disk or on its way there; 0 when there is none.
    public func seq(of device: Device) throws(JournalError) -> UInt64 {
        guard let found = try find(.id(device.id)) else { return 0 }
        return try devicesLog.read(at: found.offset).seq
    }

    /// How many devices have their newest line behind a place; goes through the index in memory.
    public func deviceCount(behind place: Log.Place) throws(JournalError) -> Int {
        // Those that are held back under serve-rest have no line.
        registry.byId.count(from: try devicesLog.address(of: place)) - registry.heldBack
    }

    /// How many devices wait for their first SUCCESS.
    public var unprovisionedCount: Int { registry.unprovisionedCount }

    /// The number of the last line of devices.jsonl that is on disk.
    public var durableDevices: UInt64 { devicesLog.durableSeq }
}

extension Store {
    /// The two logs in which the hub speaks of itself.
    struct Own {
        let upstreamLog: Log
        let upstream: UpstreamLog.Content
        let identity: Identity
        let recoveries: [Recovery]
        let damaged: [SetAside]
    }

    static func openOwn(_ directory: String, _ damage: Damage) throws(JournalError) -> Own {
        var upstream = UpstreamLog.Content()
        let ups = try openOwn(directory, "upstream", damage, &upstream) { content, record throws(InvalidRecord) in
            try content.replay(record)
        }
        var admin = Identity.Content()
        let adm = try openOwn(directory, "admin", damage, &admin) { content, record throws(InvalidRecord) in
            try content.replay(record)
        }
        return Own(
            upstreamLog: ups.opened.log, upstream: upstream,
            identity: try Identity(adm.opened.log, admin, at: Duration.sinceEpoch.milliseconds),
            recoveries: [ups.opened.recovery, adm.opened.recovery], damaged: ups.damaged + adm.damaged)
    }

    private static func openOwn<Content>(
        _ directory: String, _ name: String, _ damage: Damage, _ content: inout Content,
        _ replay: (inout Content, Record) throws(InvalidRecord) -> Void
    ) throws(JournalError) -> Opened {
        try open(directory, name, &content, damage, { _ in }) { content, record, earlier throws(JournalError) in
            try record.orDamaged(earlier.file) { () throws(InvalidRecord) in try replay(&content, record) }
        }
    }

    /// Up to which number upstream.jsonl proves that devices were on disk.
    ///
    /// - Throws: when it speaks of another device log than the one that is there.
    static func proven(
        _ devices: Log.Snapshot, _ content: UpstreamLog.Content, _ damage: Damage
    ) throws(JournalError) -> UInt64 {
        let entry = content.entry
        guard !entry.log.isEmpty else { return 0 }
        if let id = try devices.id(), id != entry.log {
            if damage == .serveRest { return 0 }
            let why = "it is another log than the one of which upstream.jsonl speaks"
            throw JournalError(.damaged(offset: 0, line: 1, why: why), file: devices.path)
        }
        return max(entry.devices, entry.cursor.seq)
    }

    /// Brings the hub's id to disk if it is new: it must never be another one at the next start.
    func keepIdentity() throws(JournalError) {
        guard identity.log.provenSeq < identity.log.seq else { return }
        try journal.flush()
        if let suspension { throw suspension.error }
        // With its proof: the next start finds nothing left to do.
        identity.log.mark()
        try journal.flush()
    }
}
