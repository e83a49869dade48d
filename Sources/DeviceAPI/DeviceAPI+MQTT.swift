internal import JSON
internal import Provisioning

/// A message on one of the topics of requests.
public struct MQTTRequest: Sendable {
    /// The topic it was published on.
    public let topic: String
    /// The body, or the beginning of one that is longer than `MQTTRequest.maximumBody`.
    public let payload: [UInt8]
    /// Whether the broker had kept it: such a request comes again with every subscription.
    public let isRetained: Bool
    /// Where the device wants the answer (MQTT 5).
    public let responseTopic: String?
    /// What the device wants to find in the answer (MQTT 5).
    public let correlationData: [UInt8]?

    /// The largest body, in bytes.
    public static let maximumBody = 65_536

    /// A request as it came.
    public init(
        topic: String, payload: [UInt8], isRetained: Bool = false, responseTopic: String? = nil,
        correlationData: [UInt8]? = nil
    ) {
        self.topic = topic
        self.payload = payload
        self.isRetained = isRetained
        self.responseTopic = responseTopic
        self.correlationData = correlationData
    }
}

/// What to publish for a request; QoS 0 and never retained, or a broker would keep credentials (protocol.md D12).
public struct MQTTAnswer: Sendable {
    /// The topic.
    public let topic: String
    /// The JSON.
    public let payload: [UInt8]
    /// The request's, to be echoed.
    public let correlationData: [UInt8]?
}

extension DeviceAPI {
    /// Serves a request over MQTT (protocol.md 7.5).
    ///
    /// - Parameters:
    ///   - request: the message.
    ///   - topics: the rules of this broker.
    ///   - reply: called once, at once or later, unless the request is ignored.
    /// - Returns: why the request is ignored; nil when it is not.
    public func handle(
        _ request: MQTTRequest, _ topics: MQTTTopics, _ reply: @escaping (MQTTAnswer) -> Void
    ) -> MQTTTopics.Ignored? {
        let peer = request.peer
        switch topics.route(request) {
        case .ignore(let why): return why
        case .refuse(let topic):
            let refusal = refuse(.privateAnswerImpossible, via: "mqtt", peer: peer)
            reply(MQTTAnswer(refusal, on: topic, to: request, topics))
        case .answer(let topic) where request.payload.count > MQTTRequest.maximumBody:
            let malformed = MalformedRequest("body over \(MQTTRequest.maximumBody) bytes")
            reply(MQTTAnswer(refuse(malformed, via: "mqtt", peer: peer), on: topic, to: request, topics))
        case .answer(let topic):
            provision(request.payload, via: "mqtt", peer: peer) { answer in
                reply(MQTTAnswer(answer.answer, on: topic, to: request, topics))
            }
        }
        return nil
    }
}

extension MQTTAnswer {
    fileprivate init(_ answer: ProvisionAnswer, on topic: String, to request: MQTTRequest, _ topics: MQTTTopics) {
        let room = topics.room(topic: topic, correlationData: request.correlationData)
        self.topic = topic
        payload = answer.bytes(maximumBytes: room, maximumMembers: MQTTTopics.maximumMembers)
        correlationData = request.correlationData
    }
}

extension MQTTRequest {
    /// Who asks, for the log: the topic is all that is known, and others chose it.
    fileprivate var peer: String { String(topic.unicodeScalars.prefix(80).map(Character.init)) }
}

extension ProvisionReply {
    /// What a face without error answers of its own sends.
    fileprivate var answer: ProvisionAnswer {
        switch self {
        case .answer(let answer), .malformed(_, let answer): answer
        }
    }
}
