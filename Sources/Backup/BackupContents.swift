internal import Store

/// What a backup holds.
public struct BackupContents: Sendable {
    /// How many profiles.
    public let profiles: Int
    /// How many devices.
    public let devices: Int

    init(_ found: Store.Inspection) {
        profiles = found.profiles
        devices = found.devices
    }
}
