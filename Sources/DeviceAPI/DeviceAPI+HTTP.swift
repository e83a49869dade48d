public import HTTPMessage
internal import JSON
internal import Provisioning

extension DeviceAPI {
    /// Serves what devices may ask over HTTP: `POST /api/v1/provision` (protocol.md 7.1) and `GET /health`.
    ///
    /// - Parameters:
    ///   - request: a whole request.
    ///   - reply: called once, at once or later.
    public func handle(_ request: HTTPRequest, _ reply: @escaping (HTTPResponse) -> Void) {
        switch (request.path, request.method) {
        case ("/api/v1/provision", "POST"):
            provision(request.body, via: "http", peer: request.peer.description) { reply(HTTPResponse($0)) }
        case ("/api/v1/provision", _): reply(.methodNotAllowed(request.method, allow: "POST"))
        case ("/health", "GET"), ("/health", "HEAD"): reply(HTTPResponse(body: Array(#"{"status":"ok"}"#.utf8)))
        case ("/health", _): reply(.methodNotAllowed(request.method, allow: "GET, HEAD"))
        default: reply(.notFound)
        }
    }
}

extension HTTPResponse {
    /// SUCCESS, NOT_FOUND and FAILURE are all 200 OK, as with ThingsBoard; what could not be read is 400.
    fileprivate init(_ reply: ProvisionReply) {
        switch reply {
        case .answer(let answer): self.init(body: answer.bytes())
        case .malformed(let malformed, _):
            self = .error(400, .badRequest, "Invalid provision request: \(malformed.detail)")
        }
    }
}
