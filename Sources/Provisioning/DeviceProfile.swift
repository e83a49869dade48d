public import Crypto
public import JSON

/// How a device profile treats provision requests (ThingsBoard's `DeviceProfileProvisionType`).
public enum ProvisionStrategy: String, Sendable, CaseIterable {
    /// Every request is answered NOT_FOUND.
    case disabled = "DISABLED"
    /// An unknown device is created.
    case allowCreateNewDevices = "ALLOW_CREATE_NEW_DEVICES"
    /// Only a device that the operator has registered is answered.
    case checkPreProvisionedDevices = "CHECK_PRE_PROVISIONED_DEVICES"
}

/// How long a repeated request gets the same answer (protocol.md D4).
public enum RepeatWindow: Hashable, Sendable {
    /// Seconds since the device was provisioned; 0 refuses every repeat, as ThingsBoard does.
    case seconds(UInt32)
    /// Never runs out.
    case forever
}

/// Which provision secret a device must know (protocol.md D5).
public enum SecretMode: String, Sendable, CaseIterable {
    /// The profile's own.
    case shared
    /// One made from the profile's and the device's name.
    case derived
    /// Any of the two.
    case either
}

/// Nearhub's own settings of a device profile: the `nearhub` member of its JSON.
public struct ProfileSettings: Hashable, Sendable {
    /// How long repeats are answered.
    public var repeatWindow = RepeatWindow.seconds(600)
    /// Which secret devices must know.
    public var secretMode = SecretMode.shared
    /// Whether answers carry the members of ThingsBoard's old documents behind today's (protocol.md D6).
    public var legacyFields = true
    /// Whether a device may declare itself a gateway (protocol.md D7).
    public var allowGateway = false
    /// The most devices the profile may have.
    public var maxDevices: UInt32 = 10_000

    /// The defaults.
    public init() {}
}

/// A device profile: what the devices of one kind have in common, and how they get their identity.
///
/// A class, since it has many parts, is never changed, only replaced, and is handed on with every request.
public final class DeviceProfile: Sendable {
    /// UUID, 36 characters.
    public let id: Text
    /// Unique among the profiles.
    public let name: Text
    /// Milliseconds since 1970.
    public let createdTime: Int64
    /// For people.
    public let description: Text?
    /// How requests are treated.
    public let strategy: ProvisionStrategy
    /// The key by which a request names the profile; unique among the profiles.
    public let provisionKey: Text?
    /// What proves that a device belongs here; a profile without one answers NOT_FOUND.
    public let provisionSecret: Secret?
    /// Nearhub's own settings.
    public let settings: ProfileSettings

    /// A profile of the given values.
    public init(
        id: Text, name: Text, createdTime: Int64, description: Text? = nil, strategy: ProvisionStrategy,
        provisionKey: Text?, provisionSecret: Secret?, settings: ProfileSettings = ProfileSettings()
    ) {
        self.id = id
        self.name = name
        self.createdTime = createdTime
        self.description = description
        self.strategy = strategy
        self.provisionKey = provisionKey
        self.provisionSecret = provisionSecret
        self.settings = settings
    }
}

extension DeviceProfile {
    /// The same profile with another key and secret.
    public func with(provisionKey: Text?, provisionSecret: Secret?) -> DeviceProfile {
        DeviceProfile(
            id: id, name: name, createdTime: createdTime, description: description, strategy: strategy,
            provisionKey: provisionKey, provisionSecret: provisionSecret, settings: settings)
    }

    /// The secret of one device: base64url of HMAC-SHA256(profile secret, "nearhub-device-v1" NUL name) (protocol.md D5).
    public func derivedSecret(deviceName: Text) -> [UInt8]? {
        guard let provisionSecret else { return nil }
        let message = Array("nearhub-device-v1".utf8) + [0] + deviceName.utf8
        return Base64.encodeURL(Digest.hmac(key: provisionSecret.exposed, message: message))
    }
}
