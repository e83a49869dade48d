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

    static func openProfiles(
        _ directory: String, _ registry: inout Registry, _ damage: Damage
    ) throws(JournalError) -> Opened {
        try open(directory, "profiles", &registry, damage) { (registry, record, earlier) throws(JournalError) in
            try registry.replay(profile: record, earlier)
        }
    }

    static func openDevices(
        _ directory: String, _ registry: inout Registry, _ damage: Damage
    ) throws(JournalError) -> Opened {
        var newest: [Text: UInt64] = [:]
        let found = try open(directory, "devices", &registry, damage) {
            (registry, record, earlier) throws(JournalError) in
            try registry.replay(device: record, earlier)
        }
        for line in found.damaged {
            if let id = line.id { newest[Text(id)] = line.offset }
        }
        for (id, offset) in newest {
            let old = try registry.device(id: id) { (offset) throws(JournalError) in
                try Self.device(in: found.opened.log, at: offset)
            }
            if let old, old.offset < offset { registry.lose(old, at: offset) }
        }
        return found
    }

    private static func open(
        _ directory: String, _ name: String, _ registry: inout Registry, _ damage: Damage,
        _ replay: (inout Registry, Record, EarlierRecords) throws(JournalError) -> Void
    ) throws(JournalError) -> Opened {
        let empty = registry
        do {
            let opened = try Log.open(directory: directory, name: name) { (record, earlier) throws(JournalError) in
                try replay(&registry, record, earlier)
            }
            return (opened, [])
        } catch {
            guard damage == .serveRest, case .damaged = error.kind else { throw error }
        }
        registry = empty
        var damaged: [SetAside] = []
        let opened = try Log.open(directory: directory, name: name, skippingDamage: { damaged.append($0) }) {
            (record, earlier) throws(JournalError) in
            try replay(&registry, record, earlier)
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
