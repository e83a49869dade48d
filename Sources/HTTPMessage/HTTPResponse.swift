internal import EventLoop
internal import JSON

/// The codes in the error bodies of ThingsBoard's REST API (`ThingsboardErrorCode`).
public enum ErrorCode: Int, Sendable {
    case general = 2
    case permissionDenied = 20
    case badRequest = 31
    case notFound = 32
    case entityLimit = 41
}

/// One whole HTTP response with a JSON body, free of the library that sends it.
public struct HTTPResponse: Sendable {
    /// The status code (RFC 9110 section 15).
    public let status: Int
    /// JSON; may be empty.
    public let body: [UInt8]
    /// The methods that the path knows, for a 405.
    public let allow: String?

    /// A response of the given parts.
    public init(status: Int = 200, body: [UInt8] = [], allow: String? = nil) {
        self.status = status
        self.body = body
        self.allow = allow
    }

    /// An error as ThingsBoard's REST API has it: `{"status","message","errorCode","timestamp"}` (protocol.md 9.2).
    ///
    /// - Parameters:
    ///   - status: the status code, repeated in the body.
    ///   - code: ThingsBoard's code for programs.
    ///   - message: one sentence for people.
    ///   - allow: the methods that the path knows.
    public static func error(_ status: Int, _ code: ErrorCode, _ message: String, allow: String? = nil) -> HTTPResponse
    {
        var json = JSONWriter()
        json.beginObject()
        json.member("status", status)
        json.member("message", Text(message))
        json.member("errorCode", code.rawValue)
        json.member("timestamp", Duration.sinceEpoch.milliseconds)
        json.endObject()
        return HTTPResponse(status: status, body: json.bytes, allow: allow)
    }

    /// The answer to a path that nothing is behind.
    public static var notFound: HTTPResponse { .error(404, .notFound, "Requested item wasn't found!") }

    /// The answer to a method that the path does not know.
    public static func methodNotAllowed(_ method: String, allow: String) -> HTTPResponse {
        .error(405, .badRequest, "Request method '\(method)' is not supported", allow: allow)
    }
}
