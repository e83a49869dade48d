internal import ArgumentParser
internal import Configuration
internal import ControlClient
internal import Daemon
internal import JSON

/// The command `nearhub provision`.
struct Provision: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a hub for credentials, as a device does.",
        discussion: """
            For trying a profile out, and for factory lines that provision in a device's place. Any ThingsBoard server is \
            asked just as well. Key and secret are those of the profile (nearhub profile create prints them), and come \
            from files, so that they stand in no process list. Over HTTP the request is one POST to /api/v1/provision:

              nearhub provision --http http://192.0.2.1:8080 --name pump-1 \\
                  --key-file pumps.key --secret-file pumps.secret

            Over CoAP it is the same as a confirmable request by UDP:

              nearhub provision --coap coap://192.0.2.1 --name pump-1 \\
                  --key-file pumps.key --secret-file pumps.secret

            Over MQTT it is a message to /provision/request at a broker, as user "provision"; the answer comes on \
            /provision/response. With --mqtt-topic-suffix X both topics get a level of their own, which a broker can \
            keep private. With mqtts:// it is by TLS, the broker's certificate verified:

              nearhub provision --mqtt mqtt://192.0.2.2 --mqtt-topic-suffix pump-1 --name pump-1 \\
                  --mqtt-password-file provision.password --key-file pumps.key --secret-file pumps.secret

            Without --name the hub makes a name up. Without --credentials-file it makes an access token; else the device \
            brings its own, in a file with one JSON object, one of

              {"token":"..."}
              {"username":"...","password":"...","clientId":"..."}
              {"hash":"-----BEGIN CERTIFICATE-----..."}

            The second is for MQTT, and any of its members may be absent. "hash" is the protocol's name for the whole \
            certificate.

            The answer holds the device's credentials: keep it. With --json it is written exactly as it came:

              nearhub provision --http http://192.0.2.1:8080 --name pump-1 \\
                  --key-file pumps.key --secret-file pumps.secret --json > pump-1.json

            Exit status: 0 provisioned; 1 refused, with the hub's reason; 75 the hub did not answer. After 75 the same \
            request may be sent again: within the profile's repeat window the hub answers with the same credentials.
            """)

    @Option(help: ArgumentHelp("The hub, as http://HOST:PORT.", valueName: "url")) var http: String?

    @Option(help: ArgumentHelp("The hub, as coap://HOST[:PORT].", valueName: "url")) var coap: String?

    @Option(
        help: ArgumentHelp(
            "The broker at which the hub listens, as mqtt://HOST[:PORT] or mqtts://HOST[:PORT].", valueName: "url"))
    var mqtt: String?

    @Option(help: ArgumentHelp("Ask over MQTT on /provision/request/LEVEL, as the client LEVEL.", valueName: "level"))
    var mqttTopicSuffix: String?

    @Option(help: ArgumentHelp("The user at the broker; without it \"provision\".", valueName: "name"))
    var mqttUser: String?

    @Option(
        help: ArgumentHelp(
            "A file with that user's password (- is stdin); without it an empty one.", valueName: "file"),
        completion: .file())
    var mqttPasswordFile: String?

    @Option(
        help: ArgumentHelp(
            "Certificates that vouch for the broker of mqtts://, in PEM; else those of the system do.",
            valueName: "file"),
        completion: .file())
    var caFile: String?

    @Option(help: ArgumentHelp("The device's name.", valueName: "name")) var name: String?

    @Option(help: ArgumentHelp("A file with the profile's key (- is stdin).", valueName: "file"), completion: .file())
    var keyFile: String

    @Option(
        help: ArgumentHelp(
            "A file with the profile's secret, or the device's derived one (- is stdin).", valueName: "file"),
        completion: .file())
    var secretFile: String

    @Option(
        help: ArgumentHelp("A file with credentials the device brings (- is stdin).", valueName: "file"),
        completion: .file())
    var credentialsFile: String?

    @Flag(help: "Ask to be a gateway in ThingsBoard's sense.") var gateway = false
    @Flag(help: "Write the hub's answer as it came.") var json = false

    func run() throws {
        try InputFile.refuseTwoStandardInputs(keyFile, secretFile, credentialsFile, mqttPasswordFile)
        let ask = try way()
        var request = ProvisionRequest(key: try InputFile(keyFile).text(), secret: try InputFile(secretFile).text())
        request.name = name.map { Text($0) }
        request.credentials = try credentialsFile.map(Self.credentials)
        request.isGateway = gateway
        let answer = try ask(request)
        if json { try Output.write(answer.body + (answer.body.last == UInt8(ascii: "\n") ? [] : [UInt8(ascii: "\n")])) }
        guard answer.status < 400, answer.outcome == "SUCCESS" else { throw Self.refusal(answer) }
        if !json { try Output.write(Self.details(answer.json).text) }
    }

    /// The one way that was chosen.
    private func way() throws -> (ProvisionRequest) throws -> ProvisionAnswer {
        for (name, value) in [
            ("topic-suffix", mqttTopicSuffix), ("user", mqttUser), ("password-file", mqttPasswordFile),
        ] where value != nil && mqtt == nil {
            throw Failure(.usage, "usage", "--mqtt-\(name) belongs to --mqtt")
        }
        guard caFile == nil || mqtt != nil else {
            throw Failure(.usage, "usage", "--ca-file belongs to --mqtt mqtts://HOST")
        }
        switch (http, coap, mqtt) {
        case (let url?, nil, nil): return try DeviceSide(url).provision
        case (nil, let url?, nil): return try CoAPDeviceSide(url).provision
        case (nil, nil, let url?):
            guard let broker = try? BrokerAddress(url) else {
                throw Failure(
                    .usage, printable(url), "is not of the form mqtt://HOST[:PORT] or mqtts://HOST[:PORT]",
                    "an example is mqtt://192.0.2.2:1883")
            }
            guard caFile == nil || broker.isEncrypted else {
                throw Failure(.usage, "usage", "--ca-file belongs to --mqtt mqtts://HOST")
            }
            let password = try mqttPasswordFile.map { try InputFile($0).text().description } ?? ""
            return try MQTTDeviceSide(
                host: broker.host, port: broker.port,
                protection: broker.isEncrypted ? .verified(caFile: caFile) : .none,
                user: mqttUser ?? MQTTDeviceSide.usualUser, password: password, topicSuffix: mqttTopicSuffix
            ).provision
        default: throw Failure(.usage, "usage", "one of --http, --coap and --mqtt says where the hub is")
        }
    }

    private static func credentials(_ path: String) throws(Failure) -> DeviceCredentials {
        let file = try InputFile(path)
        let object = try file.object()
        var texts: [Text: Text] = [:]
        for member in object.members {
            guard let text = member.value.text else {
                throw file.unusable("the member '\(printable(member.name.description))' is not a string")
            }
            texts[member.name] = text
        }
        switch Set(texts.keys) {
        case ["token"]: return .token(texts["token"] ?? "")
        case ["hash"]: return .certificate(texts["hash"] ?? "")
        case let names where !names.isEmpty && names.isSubset(of: ["username", "password", "clientId"]):
            return .basic(username: texts["username"], password: texts["password"], clientId: texts["clientId"])
        default:
            throw file.unusable(
                "holds neither token, nor username, password and clientId, nor hash",
                "\"nearhub help provision\" shows what belongs in it")
        }
    }

    private static func details(_ answer: JSONObject) -> Details {
        var details = Details()
        details.add("device", answer["deviceName"]?.plain)
        details.add("credentials", answer["credentialsType"]?.plain)
        switch answer["credentialsValue"] {
        case .object(let parts): for part in parts.members { details.add("\(part.name)", part.value.plain ?? "none") }
        case let value: details.add(answer["credentialsType"]?.text == "ACCESS_TOKEN" ? "token" : "value", value?.plain)
        }
        details.add("id", answer["deviceId"]?.plain)
        return details
    }
}

// MARK: - Refusals

extension Provision {
    private static func refusal(_ answer: ProvisionAnswer) -> Failure {
        let outcome = answer.outcome.map { printable($0.description) } ?? "HTTP status \(answer.status)"
        let code = answer.reason.map { " (\(printable($0.description)))" } ?? ""
        let message = answer.message ?? "the hub gives no reason"
        return Failure(.refused, "provision", "\(outcome)\(code): \(message)", advice(answer))
    }

    /// What helps against a refusal (protocol.md D3).
    private static func advice(_ answer: ProvisionAnswer) -> String? {
        if answer.outcome == "NOT_FOUND" {
            return "check that key and secret belong to one profile of this hub, and that it is not disabled"
        }
        let advice: String? =
            switch answer.reason?.description {
            case "NAME_TAKEN": "another device has this name: choose another one"
            case "NAME_INVALID": "choose a name of 1 to 255 characters"
            case "CREDENTIALS_TAKEN": "another device has these credentials: bring others, or none"
            case "CREDENTIALS_INVALID": "check the credentials the device brings"
            case "NOT_PREPROVISIONED": "the profile answers only devices that were added before: nearhub device add"
            case "ALREADY_PROVISIONED":
                "this device has its credentials already: the repeat window is over, or it must bring the credentials it has"
            case "QUOTA": "the profile has as many devices as it may have"
            case "PRIVATE_ANSWER_IMPOSSIBLE":
                "everybody could read the answer there: use --mqtt-topic-suffix, or Nearhub's plugin for Mosquitto"
            case "STORAGE": "the hub cannot write to its disk: its log has the cause"
            default: nil
            }
        return advice
    }
}
