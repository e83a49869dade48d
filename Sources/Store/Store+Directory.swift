public import JSON
public import Journal
public import Provisioning

extension Store: DeviceDirectory {
    /// All profiles, in no order.
    public var profiles: Dictionary<Text, DeviceProfile>.Values { registry.profiles.values }

    /// How many devices there are.
    public var deviceCount: Int { registry.deviceCount }

    /// Devices whose profile is not there; they keep their credentials, and nobody provisions them again.
    public var orphanCount: UInt32 { registry.orphanCount }

    /// Whether every profile wants ThingsBoard's exact answers: then those that belong to no profile are so too.
    public var wantsModernAnswers: Bool {
        !profiles.isEmpty && profiles.allSatisfy { !$0.settings.legacyFields }
    }

    /// The profile of this id.
    public func profile(id: Text) -> DeviceProfile? { registry.profiles[id] }

    /// The profile with exactly this provision key.
    public func profile(key: Text) -> DeviceProfile? { registry.profile(key: key) }

    /// The profile of exactly this name.
    public func profile(named name: Text) -> DeviceProfile? { profiles.first { $0.name == name } }

    /// The device of this id.
    public func device(id: Text) throws(JournalError) -> Device? { try find(.id(id))?.device }

    /// The device of exactly this name.
    public func device(named name: Text) throws(JournalError) -> Device? {
        try find(.name(name))?.device
    }

    /// The device whose credentials have this id.
    public func device(holding credentialsId: Text) throws(JournalError) -> Device? {
        try find(.credentialsId(credentialsId))?.device
    }

    /// How many devices the profile has.
    public func deviceCount(of profile: DeviceProfile) -> UInt32 { registry.deviceCount(of: profile.id) }

    /// Seconds since the device was provisioned; nil when every window has run out.
    public func secondsSinceProvisioning(_ device: Device) -> UInt64? {
        device.provisioned?.seq.flatMap { windows.seconds(since: $0, now: monotonicSeconds()) }
    }
}
