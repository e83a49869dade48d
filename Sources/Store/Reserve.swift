internal import EventLoop
public import Journal

/// Keeps room for a compaction: without it a full disk could never be emptied.
///
/// A compaction writes what is live beside the log. So no device is added while less is free than that and 1 MiB; whoever
/// is there already may change and ask again. What is live is known since the last look for dead lines, together with
/// what was written since; before the first one it is taken as 1 KiB a device.
struct Reserve {
    private static let margin: UInt64 = 1 << 20
    private static let perDevice: UInt64 = 1 << 10

    private let file: String
    private var space: FreeSpace
    /// Why no device is added, and since when in milliseconds since 1970; nil when devices are.
    private(set) var shortage: Store.Shortage?

    /// The reserve beside the log of this path, in a directory.
    init(_ directory: String) {
        file = "\(directory)/devices.jsonl"
        space = FreeSpace(directory)
    }

    /// Looks whether there is room for one more device; returns whether that has changed.
    ///
    /// - Parameters:
    ///   - devices: how many there are.
    ///   - live: bytes of the log that are live at most; nil when that is not known.
    ///   - size: the length of the log.
    mutating func look(devices: Int, live: UInt64?, log size: UInt64) -> Bool {
        let wanted = min(size, live ?? UInt64(devices) * Self.perDevice) + Self.margin
        let free = space.bytes()
        guard free < wanted else {
            defer { shortage = nil }
            return shortage != nil
        }
        let isNew = shortage == nil
        let error = JournalError(.noReserve(free: free, wanted: wanted), file: file)
        shortage = Store.Shortage(error: error, since: shortage?.since ?? Duration.sinceEpoch.milliseconds)
        return isNew
    }
}

extension Store {
    /// That the disk has no room beside the reserve for a compaction.
    public struct Shortage: Sendable {
        /// How much is free, and how much is wanted.
        public let error: JournalError
        /// When that began, in milliseconds since 1970; for people.
        public let since: Int64
    }

    /// That no device is added at present, to leave room for a compaction; nil when devices are.
    public var shortage: Shortage? {
        lookAtReserve()
        return reserve.shortage
    }

    /// Refuses a new device where the room is kept for a compaction.
    func checkReserve() throws(JournalError) {
        lookAtReserve()
        if let shortage = reserve.shortage { throw shortage.error }
    }

    private func lookAtReserve() {
        let (known, next) = (compactions.devices.live, devicesLog.nextAddress)
        // What was staged then may have been taken back.
        let live = known.map { $0.bytes + next - min(next, $0.address) }
        if reserve.look(devices: deviceCount, live: live, log: devicesLog.size) { onShortage?(reserve.shortage) }
    }
}
