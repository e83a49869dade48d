public import JSON

/// A running hub, asked over its Unix socket; every call is one connection of its own.
///
/// Blocks the calling thread: 5 s at most to connect, 30 s for the answer.
public struct Hub: Sendable {
    /// The path of the hub's socket.
    public let socket: String

    /// The hub that listens on the given socket; nothing is connected yet.
    public init(socket: String) {
        self.socket = socket
    }

    /// How the hub is doing: `GET /api/nearhub/status`.
    public func status() throws(ControlError) -> JSONObject {
        try object(try ask("GET", "/api/nearhub/status", about: "status"), about: "status")
    }

    /// Asks, and reads the JSON of the answer; nil for an empty one.
    ///
    /// - Parameters:
    ///   - method: the HTTP method.
    ///   - target: path and query, percent-encoded.
    ///   - body: the JSON to send.
    ///   - subject: what the request is about, for errors.
    func ask(
        _ method: String, _ target: String, _ body: JSONValue? = nil, about subject: String
    ) throws(ControlError) -> JSONValue? {
        let bytes = body.map { body in
            var writer = JSONWriter()
            writer.value(body)
            return writer.bytes
        }
        let exchange = HTTPExchange(endpoint: .socket(socket), method: method, target: target, body: bytes)
        let answer = try exchange.run()
        guard answer.status < 300 else { throw refusal(answer, about: subject) }
        if answer.body.isEmpty { return nil }
        do { return try JSONValue.parse(answer.body) } catch {
            throw ControlError(.unreadable, subject, "the hub's answer is \(error)", advice: Self.mismatch)
        }
    }

    /// The object an answer must be.
    func object(_ value: JSONValue?, about subject: String) throws(ControlError) -> JSONObject {
        guard let object = value?.object else { throw Self.unexpected(subject) }
        return object
    }

    /// The error for an answer that lacks what a hub always sends.
    static func unexpected(_ subject: String) -> ControlError {
        ControlError(.unreadable, subject, "the hub's answer lacks what it must have", advice: mismatch)
    }

    private static let mismatch = "is the hub of the same version as this command?"

    private func refusal(_ answer: HTTPExchange.Answer, about subject: String) -> ControlError {
        let message = errorMessage(answer.body) ?? "HTTP status \(answer.status)"
        return switch answer.status {
        // ThingsBoard's code for a limit that is reached; every other 403 is about who asks.
        case 403 where errorCode(answer.body) == 41:
            ControlError(
                .refused, subject, message,
                advice: "devices that ask get QUOTA; --max-devices of \"nearhub profile create\" sets the limit")
        case 401, 403:
            ControlError(
                .forbidden, subject, "only root and the hub's own user may do this",
                advice: "try again with sudo or as the user the hub runs as")
        case 404: ControlError(.notFound, subject, message)
        case 429, 503: ControlError(.busy, subject, message, advice: "try again later")
        case 400..<500: ControlError(.refused, subject, message)
        default: ControlError(.failed, subject, message, advice: "the hub's log has the cause")
        }
    }
}

/// The message of ThingsBoard's error body (protocol.md 9.2), safe to print.
func errorMessage(_ body: [UInt8]) -> String? {
    guard let value = try? JSONValue.parse(body), let message = value["message"]?.text, !message.isEmpty else {
        return nil
    }
    return printable(message.description)
}

/// The number in ThingsBoard's error body.
private func errorCode(_ body: [UInt8]) -> Int64? {
    (try? JSONValue.parse(body))?["errorCode"]?.integer
}

/// Percent-encodes all bytes but the unreserved ones (RFC 3986, 2.3).
func percentEncoded(_ text: some StringProtocol) -> String {
    let digits = Array("0123456789ABCDEF")
    return text.utf8.reduce(into: "") { result, byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            result.unicodeScalars.append(Unicode.Scalar(byte))
        default: result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
        }
    }
}
