internal import EventLoop
public import Journal

/// Keeps room for a compaction: without it a full disk could never be emptied.
///
/// A compaction writes what is live beside the log. So no device is added while less is free than that, taken as 1 KiB a
/// device, and 1 MiB; whoever is there already may change and ask again.
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
    mutating func look(devices: Int, log size: UInt64) -> Bool {
        let wanted = min(size, UInt64(devices) * Self.perDevice) + Self.margin
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
        if reserve.look(devices: deviceCount, log: devicesLog.size) { onShortage?(reserve.shortage) }
    }
}
