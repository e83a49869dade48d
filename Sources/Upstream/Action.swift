public import JSON
public import MQTTClient
public import Provisioning

/// What a dialect wants to be done.
public enum Action: Sendable {
    /// Connects to the upstream, whose address and TLS the engine knows; answered by `connected` or `disconnected`.
    case connect(Channel, Introduction)
    /// Ends a connection; no further input of it comes, and the channel may connect again at once.
    case disconnect(Channel)
    /// Publishes; with a receipt, which wants QoS 1, `acknowledged` tells how it went.
    case publish(Channel, MQTTPublication, Receipt?)
    /// How it went with a device that `Input.device` brought: it is not in flight any more. Once for each, unless it is
    /// released.
    case settle(device: Text, Outcome)
    /// The device was not told after all: it is not in flight any more, and comes again in the state that it has by then.
    case release(device: Text)
    /// Upstream knows nothing behind this number: whatever is in flight is void, devices come again from there on, or
    /// from the cursor if that is lower, as it is below the highest number.
    case rewind(to: UInt64)
    /// Upstream has a device of this id; if the hub has none, it comes as one that is gone.
    case examine(device: Text)
    /// How the connection is doing, for people; the engine tells what is new.
    case report(LinkState)
}

/// What a client says of itself when it connects.
public struct Introduction: Sendable {
    /// The client id.
    public var clientId: String
    /// The version of MQTT.
    public var version: MQTTOptions.Version
    /// User name and password.
    public var login: MQTTLogin?
    /// What the broker publishes when the connection breaks.
    public var will: MQTTPublication?
    /// Topic filters, subscribed to at QoS 1 right after CONNACK.
    public var subscriptions: [String]

    /// An introduction of the given parts.
    public init(
        clientId: String, version: MQTTOptions.Version, login: MQTTLogin? = nil, will: MQTTPublication? = nil,
        subscriptions: [String] = []
    ) {
        self.clientId = clientId
        self.version = version
        self.login = login
        self.will = will
        self.subscriptions = subscriptions
    }
}

/// How it went with a device.
public enum Outcome: Hashable, Sendable {
    /// Upstream has it as the hub has it.
    case confirmed
    /// Upstream does not take it; the reason is a code for programs, such as FAILURE_UPSTREAM.
    case refused(Reason)
    /// Upstream has it with other credentials, which are given.
    case conflict(Credentials)
    /// Nobody knows: upstream does not answer for this one, again and again. It stays pending, is told again after that time, and
    /// keeps nobody from being told meanwhile.
    case unanswered(pause: Duration)
}

/// Why upstream has a device not, or not as the hub has it: a code for programs, shown to people as it is.
public enum Reason: String, Sendable, CaseIterable {
    /// Upstream says FAILURE, and the credentials that the hub issued do not work there: the name or the credentials are
    /// somebody else's, or the limit of devices is reached.
    case failureUpstream = "FAILURE_UPSTREAM"
    /// Neither the device's profile nor the configuration has a provision key for upstream.
    case noProvisionKey = "NO_PROVISION_KEY"
    /// The dialect has no way to say it.
    case unsupportedByDialect = "UNSUPPORTED_BY_DIALECT"
    /// Whether upstream has it cannot be found out from here; somebody must look.
    case needsCheck = "NEEDS_CHECK"
    /// The broker's rules forbid it (MQTT 5, reason code 0x87).
    case notAuthorised = "NOT_AUTHORISED"
    /// The broker's limits forbid it (MQTT 5, reason codes 0x95 and 0x97).
    case quota = "QUOTA"
    /// Upstream does not take the message: its topic, form or size.
    case notAccepted = "NOT_ACCEPTED"
}

/// How the connection to the upstream is doing.
public enum LinkState: Hashable, Sendable {
    /// The name is looked up and the server called.
    case connecting
    /// It takes devices.
    case connected
    /// There is none, for this reason; the next try comes at the given time of the monotonic clock.
    case waiting(String, until: Duration)
    /// Only somebody who changes the configuration, here or there, can help.
    case stopped(String)
}
