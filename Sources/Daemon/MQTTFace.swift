internal import Configuration
internal import DeviceAPI
internal import EventLoop
internal import JSON
internal import Logging
internal import MQTTClient

/// The hub as a client of a broker: takes requests in, sends answers out, and knows how the connection is doing.
final class MQTTFace {
    /// How many requests may wait for their answers; above, further ones wait in the socket and the broker.
    ///
    /// One group commit may release all their answers at once: the client's outbox has room for several times as many.
    private static let maximumOpen = 1024
    /// The same in bytes.
    private static let maximumOpenBytes = 4 << 20
    /// How long the end of the process waits for the last answers to be sent.
    private static let farewell = Duration.seconds(1)

    private let devices: DeviceAPI
    private let topics: MQTTTopics
    private let logger: Logger
    private(set) var connection: MQTTConnectionLog
    private var client: MQTTClient?
    private var isStopping = false
    private var open = 0
    private var openBytes = 0
    private var requests: UInt64 = 0
    private var ignored: UInt64 = 0
    private var unsent: UInt64 = 0
    private var explained: Set<MQTTTopics.Ignored> = []

    /// Starts to connect; the loop must add `source`.
    ///
    /// - Parameters:
    ///   - configuration: whose section [mqtt] is meant.
    ///   - broker: its url.
    ///   - devices: answers the requests.
    ///   - logger: takes a line for each change.
    init(
        _ configuration: Configuration, _ broker: BrokerAddress, _ devices: DeviceAPI, _ logger: Logger
    ) throws(DaemonError) {
        let settings = configuration.mqtt
        self.devices = devices
        self.logger = logger
        topics = MQTTTopics(
            hasProperties: settings.version == .v5, responseTopics: settings.responseTopics,
            sharedResponses: settings.sharedResponses)
        connection = MQTTConnectionLog(broker, clientId: settings.clientId, logger)
        var options = MQTTOptions(
            host: broker.host, port: broker.port, clientId: settings.clientId,
            version: settings.version == .v5 ? .v5 : .v311, login: try configuration.mqttLogin(),
            subscriptions: MQTTTopics.subscriptions)
        options.tls = try configuration.mqttTLS(broker)
        options.maximumPayload = MQTTRequest.maximumBody
        announce(settings, broker)
        let started = try orFail { () throws(SystemError) in
            try MQTTClient(options) { [unowned self] event in handle(event) }
        }
        client = started
    }

    /// What the loop drives.
    var source: (any EventSource)? { client }

    /// Answers no more requests.
    func quiesce() { isStopping = true }

    /// Sends the last answers and takes leave of the broker.
    func stop() { client?.stop(within: Self.farewell) }

    /// Writes the members of the status.
    func writeStatus(to json: inout JSONWriter) {
        connection.writeStatus(to: &json)
        json.member("requests", requests)
        json.member("ignored", ignored)
        json.member("unsent", unsent)
    }

    private func announce(_ settings: Configuration.MQTT, _ broker: BrokerAddress) {
        logger.notice("mqtt asks at \(broker) as client \(settings.clientId)\(broker.isEncrypted ? "" : ", in clear")")
        if settings.responseTopics {
            logger.notice(
                settings.version == .v5
                    ? "[mqtt] response-topics = yes: only the broker's rules keep answers there private"
                    : "[mqtt] response-topics = yes has no effect with version = 3.1.1")
        }
        if settings.sharedResponses {
            logger.warning(
                "[mqtt] shared-responses = yes: without the plugin every client of the broker can read every answer")
        }
    }

    // MARK: - Events

    private func handle(_ event: MQTTEvent) {
        switch event {
        case .message(let message): take(message)
        case .published: break
        case .failed(_, _, let reason):
            unsent += 1
            logger.info("mqtt did not send an answer: \(reason)")
        case .connecting, .connected, .subscribed, .disconnected: connection.note(event)
        }
    }

    private func take(_ message: MQTTMessage) {
        guard !isStopping else { return }
        let request = MQTTRequest(
            topic: message.topic, payload: message.payload, isRetained: message.isRetained,
            responseTopic: message.responseTopic, correlationData: message.correlationData)
        let size = message.size
        countOpen(1, size)
        let reason = devices.handle(request, topics) { [self] answer in
            countOpen(-1, -size)
            send(answer)
        }
        guard let reason else {
            requests += 1
            return
        }
        countOpen(-1, -size)
        ignored += 1
        guard explained.insert(reason).inserted else { return }
        logger.notice("mqtt ignores a message: \(reason.rawValue); further ones are counted in the status")
    }

    /// An answer that cannot be sent is dropped: the device asks again, and gets the same one.
    private func send(_ answer: MQTTAnswer) {
        var publication = MQTTPublication(topic: answer.topic, payload: answer.payload)
        publication.expiry = MQTTTopics.expiry(on: answer.topic)
        publication.correlationData = answer.correlationData
        if client?.publish(publication) == nil { unsent += 1 }
    }

    private func countOpen(_ requests: Int, _ bytes: Int) {
        open += requests
        openBytes += bytes
        if open >= Self.maximumOpen || openBytes >= Self.maximumOpenBytes {
            client?.isPaused = true
        } else if open <= Self.maximumOpen / 2, openBytes <= Self.maximumOpenBytes / 2 {
            client?.isPaused = false
        }
    }
}

extension Configuration {
    /// How the connection is protected; nil for one in clear.
    ///
    /// - Throws: certificates that cannot be read, or a file with them that nobody would look at.
    func mqttTLS(_ broker: BrokerAddress) throws(DaemonError) -> MQTTTLS? {
        guard broker.isEncrypted else {
            guard mqtt.caFile.isEmpty else {
                let why = "it is of no use with mqtt://; write mqtts:// for TLS"
                throw DaemonError(.configuration, "\(place("mqtt", "ca-file")): \(why)")
            }
            return nil
        }
        let tls = MQTTTLS(caFile: mqtt.caFile.isEmpty ? nil : mqtt.caFile)
        do { try tls.check() } catch {
            throw DaemonError(.configuration, "\(place("mqtt", mqtt.caFile.isEmpty ? "url" : "ca-file")): \(error)")
        }
        return tls
    }

    /// User name and password, the latter from its file.
    func mqttLogin() throws(DaemonError) -> MQTTLogin? {
        let place = place("mqtt", "password-file")
        if mqtt.username.isEmpty {
            guard mqtt.passwordFile.isEmpty else {
                throw DaemonError(.configuration, "\(place): it is of no use without username; set both")
            }
            return nil
        }
        let password = mqtt.passwordFile.isEmpty ? nil : try SecretFile.read(mqtt.passwordFile, key: place)
        return MQTTLogin(username: mqtt.username, password: password)
    }
}
