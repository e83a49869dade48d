/// A message that a subscription brought.
public struct MQTTMessage: Sendable, Equatable {
    /// The topic it was published on.
    public let topic: String
    /// The payload; cut off after `MQTTOptions.maximumPayload` bytes and one more.
    public let payload: [UInt8]
    /// The quality of service it came with.
    public let qos: Int
    /// Whether the broker had kept it from an earlier time.
    public let isRetained: Bool
    /// Where the publisher wants the answer (MQTT 5, 3.3.2.3.5).
    public let responseTopic: String?
    /// What the publisher wants to find in the answer (MQTT 5, 3.3.2.3.6).
    public let correlationData: [UInt8]?

    /// What it counts against bounds, in bytes: topics, payload and correlation data.
    public var size: Int {
        topic.utf8.count + payload.count + (responseTopic?.utf8.count ?? 0) + (correlationData?.count ?? 0)
    }
}

/// A message to publish.
public struct MQTTPublication: Sendable {
    /// The topic, without wildcards.
    public var topic: String
    /// The payload.
    public var payload: [UInt8]
    /// 0: forgotten once written to the socket; 1: `MQTTEvent.published` tells of the acknowledgement.
    public var qos: Int
    /// Whether the broker keeps it for later subscribers.
    public var isRetained = false
    /// Seconds after which the broker drops it (MQTT 5, 3.3.2.3.3); 3.1.1 has no such thing.
    public var expiry: UInt32?
    /// The request's correlation data (MQTT 5); 3.1.1 has no such thing.
    public var correlationData: [UInt8]?

    /// A message of the given topic and payload.
    public init(topic: String, payload: [UInt8], qos: Int = 0) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
    }

    var size: Int { topic.utf8.count + payload.count + (correlationData?.count ?? 0) }
}

/// What happens on a connection, in this order.
public enum MQTTEvent: Sendable {
    /// The name is looked up and the broker called.
    case connecting
    /// CONNACK 0. The session counts up from 1; nothing of an earlier one goes on.
    case connected(session: UInt64)
    /// SUBACK: the filters that the broker refused, each with its reason; empty when all were granted.
    case subscribed(refused: [(filter: String, reason: String)])
    /// A message for one of the subscriptions.
    case message(MQTTMessage)
    /// The broker has acknowledged a publication of QoS 1 or higher.
    case published(id: UInt64)
    /// A publication has failed, of whatever QoS, and is not tried again; one that only lacks its acknowledgement may
    /// have arrived all the same.
    case failed(id: UInt64, reason: String)
    /// The connection has ended, or there was none; what was not acknowledged may or may not have arrived.
    case disconnected(MQTTLoss, retryIn: Duration)
}

/// Why there is no connection.
public struct MQTTLoss: Sendable, Equatable {
    /// What a program does differently from one case to the next.
    public enum Kind: Sendable {
        /// Nobody answers: no such host, nobody listens, no route.
        case unreachable
        /// The broker answered CONNECT with a refusal.
        case refused
        /// The broker let the client in, and refused all its subscriptions.
        case denied
        /// There was a connection, and it has ended.
        case lost
    }

    /// The kind of loss.
    public let kind: Kind
    /// For people; in part what the broker says.
    public let reason: String
}
