internal import JSON
internal import Journal

extension UpstreamLog {
    /// A log that is longer, and of which less than half counts, is written anew at the start.
    static let smallest: UInt64 = 1 << 20

    /// Writes the log anew without what later lines have replaced, if that is worth it; it must be opened again then.
    ///
    /// - Parameters:
    ///   - log: as it was opened, with nothing staged.
    ///   - records: how many it holds.
    ///   - smallest: a shorter log is left alone.
    /// - Returns: whether it was; not where there is no room.
    static func compact(_ log: Log, records: Int, smallest: UInt64 = smallest) throws(JournalError) -> Bool {
        guard log.size > smallest else { return false }
        var newest: [Text: UInt64] = [:]
        var place = Log.Place(after: 0)
        while let step = try log.next(after: &place) {
            guard case .record(let record) = step else { return false }
            // No device has an empty id: that one stands for the cursor.
            let device = record.json["sync"]?["device"]?.text ?? ""
            newest[device] = record.operation == .put ? record.offset : nil
        }
        guard newest.count * 2 < records else { return false }
        let live = Set(newest.values)
        do { _ = try log.compact(isLive: { live.contains($0.offset) }, progress: { _, _ in }) } catch {
            // The log is as it was, and the hub starts on a full disk too.
            guard error.isFullDisk else { throw error }
            return false
        }
        return true
    }
}
