internal import Store

/// What a backup holds.
public struct BackupContents: Sendable {
    /// How many profiles.
    public let profiles: Int
    /// How many devices.
    public let devices: Int

    /// Whether upstream.jsonl was set aside, since it tells of devices that came after the copy of devices.jsonl.
    public let isWithoutUpstream: Bool

    init(_ found: Store.Inspection, isWithoutUpstream: Bool = false) {
        self.isWithoutUpstream = isWithoutUpstream
        profiles = found.profiles
        devices = found.devices
    }
}
