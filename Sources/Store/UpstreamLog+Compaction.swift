internal import JSON
internal import Journal

extension UpstreamLog {
    /// A shorter log is never written anew.
    static let smallest: UInt64 = 1 << 20

    /// Begins to write the log anew, if it has become long and less than half of it may count.
    func lookForDead() {
        guard log.size >= nextCompaction, journal.compaction == nil else { return }
        do {
            // No device has an empty id: that one stands for the cursor.
            _ = try journal.compact(log, isForced: false, key: { $0["sync"]?["device"]?.text ?? "" }, isLive: nil)
        } catch { moved(.failed(error)) }
    }

    /// Takes note of how that ended: the next look is worth while when as much was written again.
    func moved(_ outcome: Log.Moved) {
        switch outcome {
        case .shorter(_, let bytes): nextCompaction = max(Self.smallest, 2 * bytes)
        case .notWorthwhile(let live): nextCompaction = max(log.size + Self.smallest / 4, 2 * live)
        case .failed: nextCompaction = log.size + Self.smallest
        }
    }
}
