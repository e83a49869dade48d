internal import CLinux
internal import Glibc
internal import JSON
internal import Journal
internal import Provisioning

extension Store {
    /// What to do with logs that are damaged.
    public enum Damage: Sendable {
        /// Not to open them.
        case refuse
        /// To pass over the damaged lines. Whoever looks for a device whose newest state is on one of them gets an error.
        case serveRest
    }

    /// How many damaged lines of a log are not served.
    public func damagedLines(of log: String) -> Int {
        recoveries.first { $0.file.hasSuffix("/\(log).jsonl") }?.damaged ?? 0
    }

    /// How many devices are not served because a damaged line may have been about them.
    public var heldBackDevices: Int { registry.heldBack }

    /// Says that a line of devices.jsonl is damaged, once; of many only of the first.
    func noteDamage(_ error: JournalError) {
        guard case .damaged(let offset, _, _) = error.kind, knownDamage.count < 200,
            knownDamage.insert(offset).inserted
        else { return }
        onDamage?(error)
    }

    /// A log that was opened, and the damaged lines that were passed over.
    typealias Opened = (opened: (log: Log, recovery: Recovery), damaged: [SetAside])

    /// Refuses a state one of whose logs was emptied or deleted: another one proves it.
    ///
    /// Its head is on disk before the first record of the other. So a log without a whole head, beside one that holds more
    /// than its head, is not a fresh start. upstream.jsonl may be missing: then upstream is told everything anew.
    static func checkAllThere(_ directory: String) throws(JournalError) {
        try checkThere(directory, "profiles", beside: "devices")
        try checkThere(directory, "devices", beside: "profiles")
        try checkThere(directory, "admin", beside: "upstream")
    }

    /// Refuses a log that was emptied or deleted, as another one proves.
    static func checkThere(_ directory: String, _ name: String, beside other: String) throws(JournalError) {
        guard size(of: "\(directory)/\(name).jsonl") < 100, size(of: "\(directory)/\(other).jsonl") > 200 else {
            return
        }
        let why = "it is empty or missing, though \(other).jsonl holds records"
        throw JournalError(.damaged(offset: 0, line: nil, why: why), file: "\(directory)/\(name).jsonl")
    }

    private static func size(of path: String) -> Int {
        var info = stat()
        return unsafe lstat(path, &info) == 0 ? Int(info.st_size) : 0
    }

    /// Opens profiles.jsonl; a profile that a damaged line may have been about is not there.
    static func openProfiles(
        _ directory: String, _ registry: inout Registry, _ damage: Damage, _ watch: ReadingWatch
    ) throws(JournalError) -> Opened {
        var newest: [Text: UInt64] = [:]
        let found = try open(directory, "profiles", &registry, damage, watch) {
            (registry, record, earlier) throws(JournalError) in
            try registry.replay(profile: record, earlier)
            if let id = record.json["profile"]?["id"]?["id"]?.text { newest[id] = record.offset }
        }
        // What a damaged line said is not known: it may have ended the profile, or changed its secret.
        for line in found.damaged {
            for (id, offset) in newest where offset < line.offset && line.mayBeAbout(id.utf8) {
                registry.withdraw(profile: id)
            }
        }
        return found
    }

    /// Opens devices.jsonl, whose records were on disk up to the number `proven`; holds back what damaged lines may be about.
    static func openDevices(
        _ directory: String, _ registry: inout Registry, _ damage: Damage, _ watch: ReadingWatch, proven: UInt64
    ) throws(JournalError) -> Opened {
        let found = try open(directory, "devices", &registry, damage, watch, proven: proven) {
            (registry, record, earlier) throws(JournalError) in
            try registry.replay(device: record, earlier)
        }
        if !found.damaged.isEmpty { try holdBack(found.damaged, in: found.opened.log, &registry) }
        return found
    }

    /// Takes from the registry which state a device has, if a damaged line behind it may have been about it.
    ///
    /// What a line said whose id is not known, nobody knows: it may have changed or ended any device before it.
    private static func holdBack(
        _ damaged: [SetAside], in log: Log, _ registry: inout Registry
    ) throws(JournalError) {
        let unattributed = damaged.lazy.filter { !$0.isAttributed }.map(\.offset).max() ?? 0
        let attributed = damaged.filter { $0.isAttributed && $0.id != nil }
        var lost: [Registry.Located] = []
        let last = damaged.map(\.offset).max() ?? 0
        var next: UInt64? = 0
        while let cursor = next, cursor <= last {
            next = try log.records(from: cursor, limit: 1024) { (record) throws(JournalError) in
                guard record.offset <= last, let device = try? Device(record),
                    registry.isNewest(device.id, at: record.offset)
                else { return }
                let isLost =
                    record.offset < unattributed
                    || attributed.contains { $0.offset > record.offset && $0.mayBeAbout(device.id.utf8) }
                if isLost { lost.append(Registry.Located(device: device, offset: record.offset)) }
            }
        }
        for device in lost { registry.lose(device, at: heldBack) }
        registry.heldBack = lost.count
    }

    /// Where the index has a device whose newest state cannot be known: no line is there.
    static let heldBack = HashIndex.maximumOffset

    /// Opens a log and reads it into a state; again without its damaged lines if that is wanted.
    static func open<Content>(
        _ directory: String, _ name: String, _ content: inout Content, _ damage: Damage, _ watch: ReadingWatch,
        proven: UInt64 = 0,
        _ replay: (inout Content, Record, EarlierRecords) throws(JournalError) -> Void
    ) throws(JournalError) -> Opened {
        let empty = content
        do {
            let opened = try Log.open(directory: directory, name: name, proven: proven, watch: watch) {
                (record, earlier) throws(JournalError) in try replay(&content, record, earlier)
            }
            return (opened, [])
        } catch {
            guard damage == .serveRest, case .damaged = error.kind else { throw error }
        }
        content = empty
        var damaged: [SetAside] = []
        let opened = try Log.open(
            directory: directory, name: name, proven: proven, watch: watch,
            skippingDamage: { keep($0, in: &damaged) }
        ) { (record, earlier) throws(JournalError) in
            try replay(&content, record, earlier)
        }
        return (opened, damaged)
    }

    /// Keeps a damaged line; of many only the place of the last, which then may have been about anybody.
    private static func keep(_ line: SetAside, in damaged: inout [SetAside]) {
        if damaged.count < 100 { return damaged.append(line) }
        damaged[damaged.count - 1] = line
        damaged[damaged.count - 1].isAttributed = false
    }

    /// The device of a line; throws `.lost` when a damaged line may have been its newest state.
    static func device(in log: Log, at offset: UInt64) throws(JournalError) -> Device {
        if offset == heldBack { throw JournalError(.lost, file: "devices.jsonl") }
        let record = try log.read(at: offset)
        do { return try Device(record) } catch {
            throw JournalError(.unreadable(why: error.description), file: "devices.jsonl")
        }
    }
}
