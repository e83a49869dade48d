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

    typealias Opened = (opened: (log: Log, recovery: Recovery), damaged: [SetAside])

    /// Refuses a state one of whose logs was emptied or deleted: each log proves the other one.
    ///
    /// Both heads are on disk before the first record of either. So a log without a whole head, beside one that holds
    /// more than its head, is not a fresh start.
    static func checkBothThere(_ directory: String) throws(JournalError) {
        for (name, other) in [("profiles", "devices"), ("devices", "profiles")]
        where size(of: "\(directory)/\(name).jsonl") < 100 && size(of: "\(directory)/\(other).jsonl") > 200 {
            let why = "it is empty or missing, though \(other).jsonl holds records"
            throw JournalError(.damaged(offset: 0, line: nil, why: why), file: "\(directory)/\(name).jsonl")
        }
    }

    private static func size(of path: String) -> Int {
        var info = stat()
        return unsafe lstat(path, &info) == 0 ? Int(info.st_size) : 0
    }

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
            for (id, offset) in newest where offset < line.offset && (line.id == nil || Text(line.id ?? "") == id) {
                registry.withdraw(profile: id)
            }
        }
        return found
    }

    static func openDevices(
        _ directory: String, _ registry: inout Registry, _ damage: Damage, _ watch: ReadingWatch
    ) throws(JournalError) -> Opened {
        var newest: [Text: UInt64] = [:]
        let found = try open(directory, "devices", &registry, damage, watch) {
            (registry, record, earlier) throws(JournalError) in
            try registry.replay(device: record, earlier)
        }
        for line in found.damaged {
            if let id = line.id { newest[Text(id)] = line.offset }
        }
        for (id, offset) in newest {
            let old = try Registry.Key.id(id).find(in: registry.candidates(.id(id))) { (offset) throws(JournalError) in
                try Self.device(in: found.opened.log, at: offset)
            }
            if let old, old.offset < offset { registry.lose(old, at: offset) }
        }
        return found
    }

    private static func open(
        _ directory: String, _ name: String, _ registry: inout Registry, _ damage: Damage, _ watch: ReadingWatch,
        _ replay: (inout Registry, Record, EarlierRecords) throws(JournalError) -> Void
    ) throws(JournalError) -> Opened {
        let empty = registry
        var count = 0
        func take(_ record: Record, _ earlier: EarlierRecords) throws(JournalError) {
            count += 1
            if count % 256 == 0 {
                try watch(Reading(file: earlier.file, bytes: record.offset, size: earlier.size))
            }
            try replay(&registry, record, earlier)
        }
        do {
            let opened = try Log.open(directory: directory, name: name) { (record, earlier) throws(JournalError) in
                try take(record, earlier)
            }
            return (opened, [])
        } catch {
            guard damage == .serveRest, case .damaged = error.kind else { throw error }
        }
        registry = empty
        var damaged: [SetAside] = []
        let opened = try Log.open(directory: directory, name: name, skippingDamage: { damaged.append($0) }) {
            (record, earlier) throws(JournalError) in
            try take(record, earlier)
        }
        return (opened, damaged)
    }

    static func device(in log: Log, at offset: UInt64) throws(JournalError) -> Device {
        let record = try log.read(at: offset)
        do { return try Device(record) } catch {
            throw JournalError(.unreadable(why: error.description), file: "devices.jsonl")
        }
    }
}
