internal import HTTPMessage
internal import JSON
internal import Journal
internal import Provisioning

/// Why a call is refused, as the answer says it.
struct AdminError: Error {
    let response: HTTPResponse

    static func badRequest(_ message: String) -> AdminError { AdminError(response: .error(400, .badRequest, message)) }

    static func notFound(_ message: String = "Requested item wasn't found!") -> AdminError {
        AdminError(response: .error(404, .notFound, message))
    }

    static func limit(_ message: String) -> AdminError { AdminError(response: .error(403, .entityLimit, message)) }
}

/// Runs a body on the store; what the store refuses becomes an answer.
func onStore<Result>(_ body: () throws(JournalError) -> Result) throws(AdminError) -> Result {
    do { return try body() } catch {
        switch error.kind {
        case .lineTooLong: throw .badRequest("a record over 131072 bytes")
        case .unreadable(let why): throw .badRequest("a record that could not be read back: \(why)")
        case .noLine: throw .badRequest("after is no cursor of this list")
        default: throw AdminError(response: .notStored(error))
        }
    }
}

extension Call {
    /// The JSON object in the body.
    func object() throws(AdminError) -> JSONValue {
        let json: JSONValue
        do { json = try JSONValue.parse(request.body) } catch { throw .badRequest("Invalid request: \(error)") }
        guard json.object != nil else { throw .badRequest("Invalid request: not a JSON object") }
        return json
    }

    /// The id in the path, a UUID.
    func id() throws(AdminError) -> Text {
        guard let id = ids.first else { throw .notFound() }
        let isUUID =
            id.utf8.count == 36
            && id.utf8.enumerated().allSatisfy { index, byte in
                [8, 13, 18, 23].contains(index) ? byte == UInt8(ascii: "-") : isHexadecimal(byte)
            }
        guard isUUID else { throw .badRequest("Invalid UUID string: \(id)") }
        return id
    }

    /// A number among the query's parameters.
    func number(_ name: String, in range: ClosedRange<Int>) throws(AdminError) -> Int {
        guard let number = request.parameter(name).flatMap(Int.init), range.contains(number) else {
            throw .badRequest("\(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

private func isHexadecimal(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): true
    default: false
    }
}

extension HTTPResponse {
    /// Nothing has changed, since a log could not be read or written (507, RFC 4918).
    static func notStored(_ error: JournalError) -> HTTPResponse { .error(507, .general, error.description) }

    /// Why a change was refused, for the audit log: a code, since a message may repeat what was asked.
    var refusal: Text {
        switch status {
        case 403: "LIMIT"
        case 404: "NOT_FOUND"
        case 405: "METHOD_NOT_ALLOWED"
        case 409: "CONFLICT"
        case 507: "STORAGE"
        default: "BAD_REQUEST"
        }
    }

    /// A JSON object as the answer.
    static func json(_ members: (inout JSONWriter) -> Void) -> HTTPResponse {
        var json = JSONWriter()
        json.beginObject()
        members(&json)
        json.endObject()
        return HTTPResponse(body: json.bytes)
    }
}
