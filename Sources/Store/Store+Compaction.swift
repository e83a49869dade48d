internal import JSON
public import Journal
internal import Provisioning

extension Store {
    /// Writes each log anew without what later lines have replaced; logs of which nothing would go are not touched.
    ///
    /// - Parameters:
    ///   - directory: the locked state directory.
    ///   - watch: takes how far each log has been read before.
    ///   - progress: takes the name of a log that is written anew, and how many bytes of how many are done.
    /// - Returns: what was done.
    /// - Throws: damage, `.noRoom` and failures of the disk.
    public static func compact(
        _ directory: borrowing StateDirectory, watch: ReadingWatch = { _ in },
        progress: @escaping (String, UInt64, UInt64) -> Void = { _, _, _ in }
    ) throws(JournalError) -> [Log.Compacted] {
        try checkAllThere(directory.path)
        var registry = Registry(seed: 0)
        var upstream = UpstreamLog.Content()
        _ = try verifyUpstream(directory.path, &upstream)
        let proven = try proven(
            try Log.Snapshot(directory: directory.path, name: "devices"), upstream, .refuse)
        let profiles = try openProfiles(directory.path, &registry, .refuse, watch).opened.log
        let devices = try openDevices(directory.path, &registry, .refuse, watch, proven: proven).opened.log
        let untold = try untoldDeletions(in: devices, upstream.entry.cursor)
        let compacted = [
            try profiles.compact(isForced: true, key: LogName.profiles.key, progress: { progress("profiles", $0, $1) }),
            try devices.compact(
                isForced: true, key: LogName.devices.key, isLive: { registry.isLive($0, untold) },
                progress: { progress("devices", $0, $1) }),
        ]
        return compacted.compactMap { $0 }
    }

    /// The address from which on upstream was not told of deletions; the highest when there is no upstream.
    static func untoldDeletions(in devices: Log, _ cursor: UpstreamCursor) throws(JournalError) -> UInt64 {
        cursor.target.isEmpty ? .max : try devices.address(of: Log.Place(after: cursor.seq))
    }
}

extension Store.LogName {
    /// The id of what a record is about.
    var key: @Sendable (JSONValue) -> Text? {
        switch self {
        case .profiles: { $0["profile"]?["id"]?["id"]?.text }
        case .devices: { $0["device"]?["id"]?.text }
        }
    }
}

extension Registry {
    /// Whether a record of devices.jsonl is to stay: a deletion goes once upstream was told, since there is nothing
    /// before it that it would have to end.
    func isLive(_ candidate: Log.Candidate, _ untold: UInt64) -> Bool {
        candidate.operation == .delete
            ? candidate.address >= untold : isNewest(candidate.id, at: candidate.address)
    }
}
