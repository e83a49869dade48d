public import CoAPMessage
internal import JSON
internal import Provisioning

extension DeviceAPI {
    /// What devices may ask over CoAP: `POST /api/v1/provision` (protocol.md 7.2).
    public static let coapResources = [CoAPResource(path: ["api", "v1", "provision"], methods: [.post])]

    /// Serves what devices ask at `coapResources`.
    ///
    /// - Parameters:
    ///   - request: a whole request.
    ///   - reply: called once, at once or later.
    public func handle(_ request: CoAPRequest, _ reply: @escaping (CoAPResponse) -> Void) {
        provision(request.body, via: "coap", peer: request.peer) { reply(CoAPResponse($0)) }
    }
}

extension CoAPResponse {
    /// SUCCESS is 2.01, all else 4.00 with the same JSON as over HTTP, except what the hub is to blame for, which is 5.03.
    ///
    /// The body is text/plain (0), as with ThingsBoard.
    fileprivate init(_ reply: ProvisionReply) {
        let answer =
            switch reply {
            case .answer(let answer), .malformed(_, let answer): answer
            }
        let code: CoAPCode =
            switch answer.status {
            case .success: .created
            case .failure(.storage): .unavailable
            case .notFound, .failure: .badRequest
            }
        self.init(
            code, contentFormat: 0, body: answer.bytes(), brief: code == .created ? [] : answer.bytes(maximumBytes: 0),
            maxAge: code == .unavailable ? 5 : nil)
    }
}
