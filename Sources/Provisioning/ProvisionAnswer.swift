internal import JSON

/// The JSON that a device reads (protocol.md 6 with D3 and D6); one shape for every face.
public struct ProvisionAnswer: Sendable {
    /// What the answer says, for faces that have codes for it.
    public enum Status: Sendable, Equatable {
        /// The device has its credentials.
        case success
        /// Unknown key, wrong secret or disabled profile.
        case notFound
        /// Refused.
        case failure(Reason)
    }

    /// What the answer says.
    public let status: Status
    /// All members, without the brace at the end.
    private var json = JSONWriter()
    /// What every release of ThingsBoard sends ends here.
    private var modernBytes = 0
    /// How many members that are, nested ones counted.
    private var modernMembers = 2
    /// Where each further member ends: those of the old documents, and Nearhub's own.
    private var furtherEnds: [Int] = []

    /// The answer of a decision.
    ///
    /// - Parameters:
    ///   - outcome: how the request ended.
    ///   - legacyFields: whether anything may follow ThingsBoard's own members.
    public init(_ outcome: Decision.Outcome, legacyFields: Bool) {
        switch outcome {
        case .success: status = .success
        case .notFound: status = .notFound
        case .failure(let reason): status = .failure(reason)
        }
        switch outcome {
        case .success(let device, let madeUpName):
            begin(device.credentials)
            guard legacyFields else { return }
            if madeUpName { add { $0.member("deviceName", device.name) } }
            add { $0.member("provisionDeviceStatus", literal: "SUCCESS") }
            add { $0.member("credentialsId", device.credentials.id) }
            add { $0.member("deviceId", device.id) }
            if !madeUpName { add { $0.member("deviceName", device.name) } }
        case .notFound:
            begin(message: "Provision data was not found!", status: "NOT_FOUND")
            if legacyFields { add { $0.member("provisionDeviceStatus", literal: "NOT_FOUND") } }
        case .failure(let reason): beginFailure(reason, legacyFields)
        }
    }

    /// The answer to a request that could not be read, where the face has no error answer of its own.
    public init(_ malformed: MalformedRequest, legacyFields: Bool) {
        status = .failure(.malformed)
        beginFailure(.malformed, legacyFields)
        if legacyFields { add { $0.member("detail", Text(malformed.detail)) } }
    }

    /// The JSON, compact.
    ///
    /// - Parameters:
    ///   - maximumBytes: where to stop adding members that not every release has; nil for no bound.
    ///   - maximumMembers: the same, in members, nested ones counted.
    public func bytes(maximumBytes: Int? = nil, maximumMembers: Int? = nil) -> [UInt8] {
        let room = max(0, (maximumMembers ?? .max) - modernMembers)
        let end = furtherEnds.prefix(room).prefix { $0 < maximumBytes ?? .max }.last ?? modernBytes
        var bytes: [UInt8] = []
        bytes.reserveCapacity(end + 1)
        bytes.append(contentsOf: json.bytes[..<end])
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    private mutating func begin(_ credentials: Credentials) {
        json.bytes.reserveCapacity(320)
        furtherEnds.reserveCapacity(4)
        json.beginObject()
        switch credentials.type {
        case .accessToken:
            json.member("credentialsValue", credentials.id)
            modernMembers += 1
        case .x509Certificate:
            json.member("credentialsValue", credentials.value)
            modernMembers += 1
        case .mqttBasic:
            json.name("credentialsValue")
            json.verbatim(credentials.value?.utf8 ?? Array("null".utf8))
            modernMembers += 4
        case .lwm2m: break
        }
        json.member("credentialsType", word: credentials.type)
        json.member("status", literal: "SUCCESS")
        modernBytes = json.bytes.count
    }

    private mutating func begin(message: StaticString, status: StaticString) {
        json.beginObject()
        json.member("errorMsg", literal: message)
        json.member("status", literal: status)
        modernBytes = json.bytes.count
    }

    private mutating func beginFailure(_ reason: Reason, _ legacyFields: Bool) {
        begin(message: "Failed to provision device!", status: "FAILURE")
        guard legacyFields else { return }
        add { $0.member("provisionDeviceStatus", literal: "FAILURE") }
        add { $0.member("reason", word: reason) }
    }

    private mutating func add(_ member: (inout JSONWriter) -> Void) {
        member(&json)
        furtherEnds.append(json.bytes.count)
    }
}
