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

    /// A message of the given parts.
    public init(
        topic: String, payload: [UInt8], qos: Int = 0, isRetained: Bool = false, responseTopic: String? = nil,
        correlationData: [UInt8]? = nil
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.isRetained = isRetained
        self.responseTopic = responseTopic
        self.correlationData = correlationData
    }

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
