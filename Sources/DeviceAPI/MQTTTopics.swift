/// Which requests over MQTT are answered, and where: the rules of topics (protocol.md 7.3 to 7.5, D12).
///
/// On a broker a topic is as private as the broker makes it. An answer holds credentials, so it goes only where the one
/// who asked, and nobody else, is meant to listen.
public struct MQTTTopics: Sendable {
    /// What to do with a request.
    public enum Route: Sendable, Equatable {
        /// Answer it on this topic.
        case answer(topic: String)
        /// Refuse it on this topic, which everybody may read: PRIVATE_ANSWER_IMPOSSIBLE.
        case refuse(topic: String)
        /// Say nothing.
        case ignore(Ignored)
    }

    /// Why a message is not answered.
    public enum Ignored: String, Sendable {
        case retained = "the broker had kept it (retained)"
        case topic = "its topic is not /provision/request or /provision/request/X, with an X of at most 235 bytes"
    }

    /// What the hub subscribes to.
    public static let subscriptions = [plainRequest, "\(plainRequest)/+"]
    /// The longest topic of an answer, in bytes.
    static let longestTopic = 255
    private static let plainRequest = "/provision/request"
    private static let plainResponse = "/provision/response"

    private let responseTopics: Bool
    private let sharedResponses: Bool
    private let hasProperties: Bool

    /// Rules by configuration.
    ///
    /// - Parameters:
    ///   - hasProperties: whether the hub speaks MQTT 5, whose answers carry properties.
    ///   - responseTopics: whether the Response Topic of MQTT 5 is private on this broker.
    ///   - sharedResponses: whether plain requests are answered although everybody may read the answer.
    public init(hasProperties: Bool, responseTopics: Bool, sharedResponses: Bool) {
        self.hasProperties = hasProperties
        self.responseTopics = responseTopics
        self.sharedResponses = sharedResponses
    }

    /// Where the answer to a request goes.
    public func route(_ request: MQTTRequest) -> Route {
        if request.isRetained { return .ignore(.retained) }
        guard let own = Self.response(to: request.topic) else { return .ignore(.topic) }
        if responseTopics, let wanted = request.responseTopic, Self.mayAnswer(on: wanted) {
            return .answer(topic: wanted)
        }
        return own != Self.plainResponse || sharedResponses ? .answer(topic: own) : .refuse(topic: own)
    }

    /// The response topic that belongs to a request topic; nil for one that is not the hub's.
    private static func response(to topic: String) -> String? {
        let request = plainRequest.utf8
        guard topic.utf8.starts(with: request) else { return nil }
        let suffix = topic.utf8.dropFirst(request.count)
        if suffix.isEmpty { return plainResponse }
        let level = suffix.dropFirst()
        guard suffix.first == UInt8(ascii: "/"), !level.isEmpty, !level.contains(where: isSpecial),
            !level.contains(UInt8(ascii: "/")), plainResponse.utf8.count + suffix.count <= longestTopic
        else { return nil }
        return plainResponse + String(decoding: suffix, as: UTF8.self)
    }

    /// Whether a Response Topic is the device's to name.
    ///
    /// Not a wildcard, which no topic has; not `$`, which is the broker's; nothing below /provision/, or one device
    /// could have its answer sent to another, which would take it for its own, or back to the hub.
    private static func mayAnswer(on topic: String) -> Bool {
        let bytes = topic.utf8
        guard !bytes.isEmpty, bytes.count <= longestTopic, !bytes.contains(where: isSpecial),
            bytes.first != UInt8(ascii: "$")
        else { return false }
        return !bytes.starts(with: "/provision/".utf8)
    }

    /// Wildcards and NUL, which no topic of a message has (MQTT 5, 4.7.1 and 4.7.3).
    private static func isSpecial(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") || byte == 0
    }
}

extension MQTTTopics {
    /// Seconds after which the broker drops an answer that nobody took; nil to say nothing of it.
    ///
    /// On the topics of ThingsBoard's devices, whose buffers are small, nothing: an answer of QoS 0 waits for nobody there.
    ///
    /// - Parameter topic: the topic of the answer.
    public static func expiry(on topic: String) -> UInt32? { topic.hasPrefix(plainResponse) ? nil : 60 }

    /// The most members of an answer, nested ones counted (protocol.md D6).
    static let maximumMembers = 8
    /// The largest PUBLISH packet that every device's buffer takes (protocol.md D6).
    private static let largestPacket = 256

    /// How many bytes of answer the packet has room for.
    ///
    /// - Parameters:
    ///   - topic: the topic of the answer.
    ///   - correlationData: what is echoed.
    func room(topic: String, correlationData: [UInt8]?) -> Int {
        // One byte of type, two of remaining length, two of the topic's length; QoS 0 has no packet identifier.
        let head = 5 + topic.utf8.count + (hasProperties ? Self.properties(topic, correlationData) : 0)
        return max(0, Self.largestPacket - head)
    }

    /// The bytes of the properties with their length in front (MQTT 5, 2.2.2).
    private static func properties(_ topic: String, _ correlationData: [UInt8]?) -> Int {
        // Message Expiry Interval: identifier and four bytes. Correlation Data: identifier, two of length, the bytes.
        let bytes = (expiry(on: topic) == nil ? 0 : 5) + (correlationData.map { 3 + $0.count } ?? 0)
        return bytes + (bytes < 128 ? 1 : bytes < 16_384 ? 2 : 3)
    }
}
