/// How a client connects, and what it subscribes to each time it does.
public struct MQTTOptions: Sendable {
    /// The protocol's version; brokers and clients of both meet on one broker.
    public enum Version: Sendable {
        /// MQTT 5: the only one that tells why something was refused.
        case v5
        /// MQTT 3.1.1, for brokers that know no newer one.
        case v311
    }

    /// The broker's name or numeric address; resolved on the client's own thread.
    public var host: String
    /// The broker's TCP port.
    public var port: UInt16
    /// The client id; the broker disconnects the older of two clients that share one.
    public var clientId: String
    /// The protocol's version.
    public var version: Version
    /// User name and password; nil for neither.
    public var login: MQTTLogin?
    /// Topic filters, subscribed to at QoS 1 after every CONNACK.
    public var subscriptions: [String]
    /// The largest payload that is delivered whole, in bytes; of a larger one the handler sees one byte more than that.
    public var maximumPayload = 65_536

    /// Options as given.
    public init(
        host: String, port: UInt16, clientId: String, version: Version = .v5, login: MQTTLogin? = nil,
        subscriptions: [String]
    ) {
        self.host = host
        self.port = port
        self.clientId = clientId
        self.version = version
        self.login = login
        self.subscriptions = subscriptions
    }
}

/// Who the client is to the broker; prints without the password.
public struct MQTTLogin: Sendable, CustomStringConvertible {
    /// The user name.
    public let username: String
    let password: String?

    /// A login; a nil password sends none at all, which is not the same as an empty one.
    public init(username: String, password: String?) {
        self.username = username
        self.password = password
    }

    /// The user name.
    public var description: String { username }
}
