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
    /// Whether what the client publishes does not come back to it (No Local of MQTT 5, 3.8.3.1).
    public var ignoresOwn = false
    /// TLS; nil for a connection in clear.
    public var tls: MQTTTLS?
    /// What the broker publishes when the connection breaks without a DISCONNECT.
    public var will: MQTTPublication?
    /// The most publications of QoS 1 and 2 that wait for their acknowledgement; the library keeps further ones.
    public var inFlight: UInt16 = 20
    /// Whether the client connects again, and after which time at the most; nil: it does so never.
    public var longestWait: Duration? = .seconds(30)
    /// Seconds of silence before a PING; a dead broker is noticed after twice that, up to two and a half times.
    var keepAlive: UInt16 = 15
    /// How long the broker may take from the TCP connection to CONNACK.
    var patience = Duration.seconds(15)
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
