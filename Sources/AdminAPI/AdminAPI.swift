internal import Crypto
internal import EventLoop
public import HTTPMessage
public import JSON
internal import Journal
public import Store
public import Upstream

/// Serves administrators: ThingsBoard's REST paths and JSON (protocol.md 9 and 10) on the store, as far as they are built,
/// and Nearhub's own under `/api/nearhub/`.
///
/// Who may call is decided before: everybody who gets here is an administrator.
public final class AdminAPI {
    let store: Store
    let upstream: Upstream?
    let onChange: (AdminChange) -> Void
    private let onRefusal: (HTTPPeer, Text) -> Void
    private let status: (inout JSONWriter) -> Void
    private var routes: [Route] = []
    var random = SystemRandom()

    /// An API on the given store.
    ///
    /// - Parameters:
    ///   - store: what exists.
    ///   - upstream: tells upstream of it; nil when it is off.
    ///   - onChange: is told of every change, when it is on disk.
    ///   - onRefusal: is told who wanted a change that was refused, and a stable code that says why.
    ///   - status: writes the members of the hub's status that the store does not know.
    public init(
        _ store: Store, _ upstream: Upstream?, onChange: @escaping (AdminChange) -> Void,
        onRefusal: @escaping (HTTPPeer, Text) -> Void,
        status: @escaping (inout JSONWriter) -> Void
    ) {
        self.store = store
        self.upstream = upstream
        self.onChange = onChange
        self.onRefusal = onRefusal
        self.status = status
        routes = [
            Route("GET", "/api/nearhub/status", AdminAPI.showStatus),
            Route("GET", "/api/nearhub/devices", AdminAPI.listDevices),
            Route("GET", "/api/nearhub/upstream", AdminAPI.listUpstream),
            Route("POST", "/api/nearhub/upstream/retry", AdminAPI.retryUpstream),
            Route("POST", "/api/nearhub/upstream/resolve", AdminAPI.resolveUpstream),
            Route("POST", "/api/nearhub/log/compact", AdminAPI.compactLogs),
            Route("POST", "/api/deviceProfile", AdminAPI.createProfile),
            Route("GET", "/api/deviceProfiles", AdminAPI.listProfiles),
            Route("GET", "/api/deviceProfile/*", AdminAPI.showProfile),
            Route("DELETE", "/api/deviceProfile/*", AdminAPI.deleteProfile),
            Route("POST", "/api/device", AdminAPI.createDevice),
            Route("POST", "/api/device-with-credentials", AdminAPI.createDeviceWithCredentials),
            Route("GET", "/api/tenant/devices", AdminAPI.findDevice),
            Route("GET", "/api/device/*", AdminAPI.showDevice),
            Route("GET", "/api/device/*/credentials", AdminAPI.showCredentials),
            Route("GET", "/api/plugins/telemetry/DEVICE/*/values/attributes/SERVER_SCOPE", AdminAPI.showAttributes),
            Route("POST", "/api/plugins/telemetry/DEVICE/*/attributes/SERVER_SCOPE", AdminAPI.setAttributes),
        ]
    }

    /// Answers one request, once what it changed or saw is on disk.
    ///
    /// - Parameters:
    ///   - request: a whole request of an administrator.
    ///   - reply: called once, at once or later.
    public func handle(_ request: HTTPRequest, _ reply: @escaping (HTTPResponse) -> Void) {
        if request.method == "GET" || request.method == "HEAD" { return answer(request, reply) }
        answer(request) { [onRefusal] response in
            if response.status >= 400 { onRefusal(request.peer, response.refusal) }
            reply(response)
        }
    }

    private func answer(_ request: HTTPRequest, _ reply: @escaping (HTTPResponse) -> Void) {
        let found = routes.compactMap { route in route.match(request.path).map { (route, $0) } }
        guard let (route, ids) = found.first(where: { $0.0.method == request.method }) else {
            let allow = found.map(\.0.method).joined(separator: ", ")
            reply(found.isEmpty ? .notFound : .methodNotAllowed(request.method, allow: allow))
            return
        }
        let response: HTTPResponse
        do throws(AdminError) {
            response = try route.action(self)(Call(request: request, ids: ids, now: Duration.sinceEpoch.milliseconds))
        } catch { response = error.response }
        store.whenDurable { [self] failure in
            guard let failure else {
                guard request.path.hasPrefix("/api/nearhub/upstream/") else { return reply(response) }
                // What was decided about upstream is in a log of its own.
                return store.whenNoted { failure in reply(failure.map { .notStored($0) } ?? response) }
            }
            // What it changed is undone; what it only saw may be, so it is looked up anew.
            if request.method == "GET" { answer(request, reply) } else { reply(.notStored(failure)) }
        }
    }

    private func showStatus(_ call: Call) throws(AdminError) -> HTTPResponse {
        .json { json in
            status(&json)
            json.member("state", Text(store.path))
            json.member("profiles", store.profiles.count)
            json.member("devices", store.deviceCount)
            json.name("journal")
            json.beginObject()
            if let suspension = store.suspension {
                json.member("state", suspension.isFull ? "full" : "failing")
                json.member("since", suspension.since)
                json.member("reason", Text(suspension.error.description))
            } else if let shortage = store.shortage {
                json.member("state", literal: "full")
                json.member("since", shortage.since)
                json.member("reason", Text(shortage.error.description))
            } else {
                json.member("state", "writing")
            }
            for log in store.logs {
                json.name(escaping: Text(log.name))
                json.beginObject()
                json.member("seq", log.seq)
                json.member("durable", log.durable)
                json.member("bytes", log.bytes)
                json.member("damaged", store.damagedLines(of: log.name))
                json.endObject()
            }
            json.endObject()
            json.name("compaction")
            write(store.compactionStatus, to: &json)
        }
    }
}

/// One method on one path; `*` stands for an id.
struct Route {
    typealias Action = (AdminAPI) -> (Call) throws(AdminError) -> HTTPResponse

    let method: String
    let action: Action
    private let parts: [Substring]

    init(_ method: String, _ path: String, _ action: @escaping Action) {
        self.method = method
        self.action = action
        parts = path.split(separator: "/")
    }

    /// The ids in the path; nil when it is another path.
    func match(_ path: String) -> [Text]? {
        let others = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        guard others.count == parts.count, zip(parts, others).allSatisfy({ $0 == "*" || $0 == $1 }) else { return nil }
        return zip(parts, others).filter { $0.0 == "*" }.map { Text($0.1) }
    }
}

/// One call of an administrator.
struct Call {
    let request: HTTPRequest
    /// The ids in the path.
    let ids: [Text]
    /// Milliseconds since 1970.
    let now: Int64
}
