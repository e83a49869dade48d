public import Crypto
public import JSON
public import MQTTClient

/// What the operator decided about upstream, as far as dialects need it.
public struct Settings: Sendable {
    /// The hub's own id, 32 hexadecimal digits.
    public var hub: Text
    /// User name and password for the upstream.
    public var login: MQTTLogin?
    /// The most devices in flight.
    public var window = 20
    /// The most connections that provision at the same time (thingsboard).
    public var sessions = 4
    /// The most devices a second; nil for no limit (thingsboard).
    public var rate: Double? = 5
    /// Whether records hold credentials (journal).
    public var includesCredentials = false
    /// The key and secret of one profile upstream for all devices (thingsboard); nil to use each device's own profile.
    public var provisioning: (key: Text, secret: Secret)?

    /// The defaults for a hub.
    public init(hub: Text) { self.hub = hub }

    /// The hub's client id: its beginning is enough to tell hubs apart.
    public var clientId: String { "nearhub-" + String(hub.description.prefix(16)) }
}
