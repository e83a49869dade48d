public import Journal
internal import Provisioning

extension Store {
    /// How far a log has been read.
    public typealias Reading = Log.Reading
    /// Takes how far it is; throws to end it.
    public typealias ReadingWatch = Log.ReadingWatch

    /// A log as a look at it found it.
    public typealias InspectedLog = (log: Log.Snapshot, recovery: Recovery)

    /// What a look at the state finds that changes nothing: `nearhub check`.
    public struct Inspection: Sendable {
        /// The logs that were looked at, and what the next start would find in each; a copy is made from these.
        public let logs: [InspectedLog]
        /// How many profiles there are.
        public let profiles: Int
        /// How many devices there are.
        public let devices: Int
    }

    /// What a look at one log finds.
    public struct LogReport: Sendable {
        /// The log's name, such as `devices`.
        public let name: String
        /// What the next start would find; or what is wrong, with file, offset and line.
        public let result: Result<Recovery, JournalError>
    }

    /// Reads the state without changing anything; a hub may be using it meanwhile.
    ///
    /// - Parameters:
    ///   - directory: the state directory, whose permissions the caller has checked.
    ///   - watch: takes how far each log has been read, and may end it.
    /// - Throws: damage, failures of the disk, and what `watch` throws.
    public static func inspect(
        _ directory: String, watch: ReadingWatch = { _ in }
    ) throws(JournalError) -> Inspection {
        try checkAllThere(directory)
        let logs = try StateLogs(directory)
        var (registry, content) = (Registry(seed: 0), UpstreamLog.Content())
        let profiles = try logs.verifyProfiles(&registry, watch)
        let upstream = try logs.verifyUpstream(&content, watch)
        let admin = try logs.verifyAdmin(watch)
        let devices = try logs.verifyDevices(&registry, content, watch)
        return Inspection(
            logs: [
                (logs.profiles, profiles), (logs.devices, devices), (logs.upstream, upstream), (logs.admin, admin),
            ],
            profiles: registry.profiles.count, devices: registry.deviceCount)
    }

    /// Reads each log from beginning to end and changes nothing; a hub may be using them meanwhile.
    ///
    /// - Parameters:
    ///   - directory: the state directory, whose permissions the caller has checked.
    ///   - watch: takes how far each log has been read; what it throws is that log's result.
    /// - Throws: `.io` when a log cannot be opened.
    public static func verify(
        _ directory: String, watch: ReadingWatch = { _ in }
    ) throws(JournalError) -> [LogReport] {
        let logs = try StateLogs(directory)
        var (registry, content) = (Registry(seed: 0), UpstreamLog.Content())
        let profiles = Result { () throws(JournalError) in
            try checkThere(directory, "profiles", beside: "devices")
            return try logs.verifyProfiles(&registry, watch)
        }
        let upstream = Result { () throws(JournalError) in try logs.verifyUpstream(&content, watch) }
        let admin = Result { () throws(JournalError) in
            try checkThere(directory, "admin", beside: "upstream")
            return try logs.verifyAdmin(watch)
        }
        let devices = Result { () throws(JournalError) in
            try checkThere(directory, "devices", beside: "profiles")
            return try logs.verifyDevices(&registry, content, watch)
        }
        return [("profiles", profiles), ("devices", devices), ("upstream", upstream), ("admin", admin)].map {
            LogReport(name: $0.0, result: $0.1)
        }
    }

    /// Reads upstream.jsonl and changes nothing; what it says is not touched if it is damaged.
    static func verifyUpstream(
        _ directory: String, _ content: inout UpstreamLog.Content
    ) throws(JournalError) -> Recovery {
        try Log.Snapshot(directory: directory, name: "upstream").verifyUpstream(&content) { _ in }
    }
}

/// The logs of a state, opened one after the other so that each is older than what it refers to.
private struct StateLogs {
    let upstream: Log.Snapshot
    let devices: Log.Snapshot
    let profiles: Log.Snapshot
    let admin: Log.Snapshot

    init(_ directory: String) throws(JournalError) {
        upstream = try Log.Snapshot(directory: directory, name: "upstream")
        devices = try Log.Snapshot(directory: directory, name: "devices")
        profiles = try Log.Snapshot(directory: directory, name: "profiles")
        admin = try Log.Snapshot(directory: directory, name: "admin")
    }

    func verifyProfiles(_ registry: inout Registry, _ watch: Log.ReadingWatch) throws(JournalError) -> Recovery {
        try profiles.verify(watch: watch) { (record, earlier) throws(JournalError) in
            try registry.replay(profile: record, earlier)
        }
    }

    func verifyDevices(
        _ registry: inout Registry, _ content: UpstreamLog.Content, _ watch: Log.ReadingWatch
    ) throws(JournalError) -> Recovery {
        let proven = try Store.proven(devices, content, .refuse)
        return try devices.verify(proven: proven, watch: watch) { (record, earlier) throws(JournalError) in
            try registry.replay(device: record, earlier)
        }
    }

    func verifyUpstream(
        _ content: inout UpstreamLog.Content, _ watch: Log.ReadingWatch
    ) throws(JournalError) -> Recovery {
        try upstream.verifyUpstream(&content, watch)
    }

    func verifyAdmin(_ watch: Log.ReadingWatch) throws(JournalError) -> Recovery {
        var found = Identity.Content()
        return try admin.verify(watch: watch) { (record, earlier) throws(JournalError) in
            try record.orDamaged(earlier.file) { () throws(InvalidRecord) in try found.replay(record) }
        }
    }
}

extension Log.Snapshot {
    fileprivate func verifyUpstream(
        _ content: inout UpstreamLog.Content, _ watch: Log.ReadingWatch
    ) throws(JournalError) -> Recovery {
        var found = UpstreamLog.Content()
        let recovery = try verify(watch: watch) { (record, earlier) throws(JournalError) in
            try record.orDamaged(earlier.file) { () throws(InvalidRecord) in try found.replay(record) }
        }
        content = found
        return recovery
    }
}
