internal import EventLoop
internal import JSON
internal import MQTTClient

/// The device's side of provisioning over MQTT, as ThingsBoard's devices do it (protocol.md 7.3).
///
/// It connects with MQTT 3.1.1, as user `provision` unless another is named, under a client id of its own or the suffix, subscribes, asks, and takes leave.
public struct MQTTDeviceSide: Sendable {
    /// How the connection is protected.
    public enum Protection: Sendable {
        /// In clear.
        case none
        /// By TLS, with the certificates of a PEM file, or of the system.
        case verified(caFile: String?)
    }

    /// How long the whole exchange may take.
    private static let limit = Duration.seconds(30)
    /// The user as whom ThingsBoard's devices connect.
    public static let usualUser = "provision"
    /// The longest suffix of the topics, in bytes.
    public static let longestSuffix = 235

    private let host: String
    private let port: UInt16
    private let tls: MQTTTLS?
    private let login: MQTTLogin
    private let clientId: String
    private let requestTopic: String
    private let responseTopic: String
    private let subject: String

    /// A broker at which a hub listens.
    ///
    /// - Parameters:
    ///   - host: the broker's name or numeric address.
    ///   - port: its TCP port.
    ///   - protection: whether by TLS.
    ///   - user: the user at the broker.
    ///   - password: its password.
    ///   - suffix: asks on `/provision/request/<suffix>` instead of `/provision/request`; nil for the latter.
    /// - Throws: a suffix that is not one level of a topic.
    public init(
        host: String, port: UInt16, protection: Protection = .none, user: String = usualUser, password: String = "",
        topicSuffix suffix: String?
    ) throws(ControlError) {
        self.host = host
        self.port = port
        // Brokers let a client of an id use the topics that end in it.
        clientId = suffix ?? "nearhub-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        login = MQTTLogin(username: user, password: password)
        tls = if case .verified(let file) = protection { MQTTTLS(caFile: file) } else { nil }
        subject = "\(tls == nil ? "mqtt" : "mqtts")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
        let level = suffix.map { "/\($0)" } ?? ""
        requestTopic = "/provision/request\(level)"
        responseTopic = "/provision/response\(level)"
        guard let suffix else { return }
        let isSpecial = suffix.utf8.contains { $0 < 0x20 || $0 == 0x7F || "/+#".utf8.contains($0) }
        guard !suffix.isEmpty, suffix.utf8.count <= Self.longestSuffix, !isSpecial else {
            throw ControlError(
                .address, printable(suffix), "is not one level of a topic",
                advice: "it has 1 to \(Self.longestSuffix) bytes, and neither / nor + nor #")
        }
    }

    /// Asks for credentials.
    ///
    /// - Returns: whatever the hub answered in JSON, refusals too.
    /// - Throws: a broker that is not there or refuses, no answer within 30 s, or one that is no JSON object.
    public func provision(_ request: ProvisionRequest) throws(ControlError) -> ProvisionAnswer {
        let payload = try exchange(request.json)
        guard let json = try? JSONValue.parse(payload).object else {
            throw ControlError(.unreadable, subject, "the answer is not a JSON object")
        }
        return ProvisionAnswer(status: 200, body: payload, json: json)
    }

    private func exchange(_ request: [UInt8]) throws(ControlError) -> [UInt8] {
        var result: Result<[UInt8], ControlError>?
        do {
            let loop = try EventLoop()
            var client: MQTTClient?
            let started = try MQTTClient(options) { event in
                switch event {
                // A broker handles SUBSCRIBE before this, so there is no need to wait for SUBACK; ThingsBoard before
                // 3.9 never sends one.
                case .connected: client?.publish(MQTTPublication(topic: requestTopic, payload: request, qos: 1))
                case .message(let message) where message.topic == responseTopic && !message.isRetained:
                    result = result ?? .success(message.payload)
                default: if let failure = failure(event) { result = result ?? .failure(failure) }
                }
            }
            client = started
            try loop.add(started)
            try loop.add(
                Timer(every: Self.limit) {
                    result =
                        result
                        ?? .failure(
                            ControlError(.unreachable, subject, "no answer in time", advice: Connection.doubt))
                })
            while result == nil { try loop.turn() }
            started.stop(within: .seconds(1))
            client = nil
        } catch {
            throw ControlError(.unreachable, subject, error.description)
        }
        guard let result else { throw ControlError(.unreachable, subject, "no answer in time") }
        return try result.get()
    }

    private var options: MQTTOptions {
        var options = MQTTOptions(
            host: host, port: port, clientId: clientId, version: .v311,
            login: login, subscriptions: [responseTopic])
        options.tls = tls
        return options
    }

    /// What ends the exchange without an answer.
    private func failure(_ event: MQTTEvent) -> ControlError? {
        switch event {
        case .subscribed(let refused):
            refused.first.map {
                ControlError(
                    .forbidden, subject, "the broker refuses \($0.filter): \($0.reason)",
                    advice: "let the user \(printable(login.username)) subscribe there")
            }
        case .disconnected(let loss, _):
            switch loss.kind {
            case .refused, .denied:
                ControlError(
                    .forbidden, subject, "the broker refuses the connection: \(printable(loss.reason))",
                    advice:
                        "let the user \(printable(login.username)) in, or name another one with --mqtt-user and --mqtt-password-file"
                )
            case .unreachable where loss.cause == .tls:
                ControlError(
                    .unreachable, subject, printable(loss.reason),
                    advice: "the broker's authority must be in --ca-file, and its certificate must name the host")
            case .unreachable:
                ControlError(
                    .unreachable, subject, printable(loss.reason), advice: "check address, port and network")
            case .lost: ControlError(.unreachable, subject, printable(loss.reason), advice: Connection.doubt)
            }
        default: nil
        }
    }
}
