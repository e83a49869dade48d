internal import JSON
public import Journal
internal import Provisioning

extension Store {
    /// Writes each log anew without what later lines have replaced; logs of which nothing would go are not touched.
    ///
    /// - Parameters:
    ///   - directory: the locked state directory.
    ///   - progress: takes how many bytes of a log's how many are done.
    /// - Returns: what was done.
    /// - Throws: damage and failures of the disk.
    public static func compact(
        _ directory: borrowing StateDirectory, progress: (UInt64, UInt64) -> Void
    ) throws(JournalError) -> [Log.Compacted] {
        var registry = Registry(seed: 0)
        var newest: [Text: UInt64] = [:]
        var upstream = UpstreamLog.Content()
        _ = try verifyUpstream(directory.path, &upstream)
        let cursor = upstream.entry.cursor
        let profiles = try Log.open(directory: directory.path, name: "profiles") {
            (record, earlier) throws(JournalError) in
            try registry.replay(profile: record, earlier)
            if let id = record.json["profile"]?["id"]?["id"]?.text {
                newest[id] = record.operation == .put ? record.offset : nil
            }
        }
        let devices = try Log.open(directory: directory.path, name: "devices") {
            (record, earlier) throws(JournalError) in
            try registry.replay(device: record, earlier)
        }
        var compacted: [Log.Compacted] = []
        if profiles.recovery.records > newest.count {
            let live = Set(newest.values)
            compacted.append(try profiles.log.compact(isLive: { live.contains($0.offset) }, progress: progress))
        }
        if devices.recovery.records > registry.deviceCount {
            compacted.append(
                try devices.log.compact(
                    isLive: { record in
                        guard let id = record.json["device"]?["id"]?.text else { return false }
                        // Upstream has yet to be told that the device is gone.
                        if record.operation == .delete { return !cursor.target.isEmpty && record.seq > cursor.seq }
                        return registry.isNewest(id, at: record.offset)
                    }, progress: progress))
        }
        return compacted
    }
}
