internal import JSON
internal import Journal

extension UpstreamLog {
    /// A log that is longer, and of which less than half counts, is written anew at the start.
    static let smallest: UInt64 = 1 << 20

    /// Writes the log anew without what later lines have replaced, if that is worth it; it must be opened again then.
    ///
    /// - Parameters:
    ///   - log: as it was opened, with nothing staged.
    ///   - smallest: a shorter log is left alone.
    /// - Returns: whether it was; not where there is no room.
    static func compact(_ log: Log, smallest: UInt64 = smallest) throws(JournalError) -> Bool {
        guard log.size > smallest else { return false }
        do {
            // No device has an empty id: that one stands for the cursor.
            return try log.compact(isForced: false, key: { $0["sync"]?["device"]?.text ?? "" }) != nil
        } catch {
            // The log is as it was, and the hub starts on a full disk too.
            guard error.isFullDisk else { throw error }
            return false
        }
    }
}
