public import JSON

/// What a device asks of a hub: its name, and what proves its profile (protocol.md 1).
public struct ProvisionRequest: Sendable {
    /// The name; nil lets the hub make one up.
    public var name: Text?
    /// The key of the profile.
    public var key: Text
    /// The profile's secret, or the one derived from it for this device.
    public var secret: Text
    /// Credentials the device brings along; nil lets the hub make an access token.
    public var credentials: DeviceCredentials?
    /// Whether it asks to be a gateway.
    public var isGateway = false

    /// A request with the given key and secret.
    public init(key: Text, secret: Text) {
        self.key = key
        self.secret = secret
    }

    var json: [UInt8] {
        var members = JSONObject()
        members["deviceName"] = name.map(JSONValue.text)
        members["provisionDeviceKey"] = .text(key)
        members["provisionDeviceSecret"] = .text(secret)
        switch credentials {
        case .token(let token):
            members["credentialsType"] = .text("ACCESS_TOKEN")
            members["token"] = .text(token)
        case .basic(let username, let password, let clientId):
            members["credentialsType"] = .text("MQTT_BASIC")
            members["username"] = username.map(JSONValue.text)
            members["password"] = password.map(JSONValue.text)
            members["clientId"] = clientId.map(JSONValue.text)
        case .certificate(let certificate):
            members["credentialsType"] = .text("X509_CERTIFICATE")
            members["hash"] = .text(certificate)
        case nil: break
        }
        if isGateway { members["gateway"] = .bool(true) }
        var writer = JSONWriter()
        writer.value(.object(members))
        return writer.bytes
    }
}

/// Credentials that a device brings along.
public enum DeviceCredentials: Sendable, Equatable {
    /// An access token.
    case token(Text)
    /// What it will log in to MQTT with.
    case basic(username: Text?, password: Text?, clientId: Text?)
    /// The text of an X.509 certificate, PEM or its body (the protocol calls it `hash`).
    case certificate(Text)
}

/// What a hub answered to a device (protocol.md 6).
public struct ProvisionAnswer: Sendable {
    /// The HTTP status.
    public let status: Int
    /// The answer as it came.
    public let body: [UInt8]
    /// The answer's members.
    public let json: JSONObject

    /// SUCCESS, NOT_FOUND or FAILURE; nil in an answer that is no provision answer, such as that to a malformed request.
    public var outcome: Text? { json["status"]?.text }
    /// Why it was refused, for people, safe to print.
    public var message: String? {
        (json["errorMsg"]?.text ?? json["message"]?.text).map { printable($0.description) }
    }
    /// Why it was refused, for programs, such as `NAME_TAKEN`; nil from hubs that do not tell.
    public var reason: Text? { json["reason"]?.text }
}

/// The device's side of provisioning: one `POST /api/v1/provision`.
public struct DeviceSide: Sendable {
    /// The path that ThingsBoard's devices use.
    public static let path = "/api/v1/provision"

    private let address: HTTPAddress

    /// The hub at `http://HOST:PORT`, with or without the path.
    public init(_ url: String) throws(ControlError) {
        address = try HTTPAddress(url)
    }

    /// Asks for credentials.
    ///
    /// - Returns: whatever the hub answered in JSON, refusals too.
    /// - Throws: a hub that does not answer, is busy (HTTP 429, 503), fails (other 5xx) or answers no JSON object.
    public func provision(_ request: ProvisionRequest) throws(ControlError) -> ProvisionAnswer {
        let target = address.path.isEmpty || address.path == "/" ? Self.path : address.path
        let exchange = HTTPExchange(endpoint: address.endpoint, method: "POST", target: target, body: request.json)
        let answer = try exchange.run()
        let subject = "\(address.endpoint)"
        switch answer.status {
        case 429, 503:
            throw ControlError(
                .busy, subject, errorMessage(answer.body) ?? "HTTP status \(answer.status)", advice: "try again later")
        case 500...:
            throw ControlError(
                .failed, subject, errorMessage(answer.body) ?? "HTTP status \(answer.status)",
                advice: "the hub's log has the cause")
        default: break
        }
        guard let json = try? JSONValue.parse(answer.body).object else {
            throw ControlError(
                .unreadable, subject, "the answer (HTTP status \(answer.status)) is not a JSON object",
                advice: "does a hub listen there?")
        }
        return ProvisionAnswer(status: answer.status, body: answer.body, json: json)
    }
}
