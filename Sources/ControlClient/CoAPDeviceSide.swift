internal import CoAPClient
internal import CoAPMessage
internal import JSON

/// The device's side of provisioning over CoAP (protocol.md 7.2).
public struct CoAPDeviceSide: Sendable {
    /// How long the whole exchange may take.
    private static let limit = Duration.seconds(30)

    private let parts: URLParts
    private let subject: String

    /// The hub at `coap://HOST[:PORT]`, with or without the path; the port is 5683 unless given.
    public init(_ url: String) throws(ControlError) {
        guard !url.lowercased().hasPrefix("coaps://") else {
            throw ControlError(
                .address, printable(url), "this version speaks CoAP without DTLS only",
                advice: "use coap:// inside a trusted network")
        }
        parts = try URLParts(url, scheme: "coap", port: 5683)
        let host = parts.host.contains(":") ? "[\(parts.host)]" : parts.host
        subject = "coap://\(host):\(parts.port)"
    }

    /// Asks for credentials.
    ///
    /// - Returns: whatever the hub answered in JSON, refusals too.
    /// - Throws: a hub that does not answer, is busy (5.03, 4.29), or answers no JSON object.
    public func provision(_ request: ProvisionRequest) throws(ControlError) -> ProvisionAnswer {
        let path = parts.path.isEmpty || parts.path == "/" ? DeviceSide.path : parts.path
        let segments = path.split(separator: "/").map { String($0) }
        let client = CoAPClient(host: parts.host, port: parts.port)
        let response: CoAPResponse
        do { response = try client.post(request.json, to: segments, within: Self.limit) } catch { throw explain(error) }
        if let json = try? JSONValue.parse(response.body).object {
            return ProvisionAnswer(status: response.code.category == 2 ? 200 : 400, body: response.body, json: json)
        }
        switch response.code {
        case .unavailable, .tooManyRequests:
            throw ControlError(.busy, subject, "CoAP code \(response.code)", advice: "try again later")
        case let code where code.category == 5:
            throw ControlError(.failed, subject, "CoAP code \(code)", advice: "the hub's log has the cause")
        case let code:
            throw ControlError(
                .unreadable, subject, "the answer (CoAP code \(code)) is not a JSON object",
                advice: "does a hub listen there?")
        }
    }

    private func explain(_ error: CoAPClientError) -> ControlError {
        switch error {
        case .unknownHost(let reason):
            ControlError(.unreachable, subject, reason, advice: "check the name of the host")
        case .refused:
            ControlError(
                .unreachable, subject, "nobody listens there",
                advice: "check address, port and network, and that the hub runs")
        case .rejected:
            ControlError(.unreachable, subject, "the message was rejected", advice: "does a hub listen there?")
        case .late: ControlError(.unreachable, subject, "no answer in time", advice: Connection.doubt)
        case .unusable: ControlError(.unreachable, subject, "libcoap cannot send the request")
        }
    }
}
