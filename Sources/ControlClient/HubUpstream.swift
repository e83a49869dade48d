public import JSON

/// How a device and upstream stand, as the hub's administrators see it.
public struct HubUpstreamRow: Sendable {
    /// All that the hub says.
    public let json: JSONObject

    /// The device's id.
    public var id: Text? { json["id"]?.text }
    /// The device's name; nil when it is gone.
    public var name: Text? { json["name"]?.text }
    /// What upstream calls it.
    public var upstreamName: Text? { json["upstreamName"]?.text }
    /// `pending`, `sent`, `confirmed`, `refused`, `conflict` or `unprovisioned`.
    public var state: Text? { json["state"]?.text }
    /// Why it is refused, as a code.
    public var reason: Text? { json["reason"]?.text }
    /// What upstream has otherwise.
    public var differs: [Text] { json["differs"]?.array?.compactMap(\.text) ?? [] }
    /// Since when, in milliseconds since 1970; nil where that is not remembered.
    public var since: Int64? { json["since"]?.integer }
}

/// What an administrator decides about a device that upstream refuses or has otherwise.
public enum UpstreamDecision: Sendable {
    /// Upstream is to have it under this name.
    case rename(Text)
    /// It stays as it is.
    case keepLocal
    /// It gets the credentials that upstream has.
    case adopt
}

extension Hub {
    /// Visits devices in the order of the log, with their states upstream: `GET /api/nearhub/upstream`, piece by piece.
    ///
    /// - Parameters:
    ///   - state: the state that they must have; nil for any.
    ///   - visit: takes each.
    public func eachUpstreamRow(state: String?, _ visit: (HubUpstreamRow) -> Void) throws(ControlError) {
        var after: UInt64 = 0
        while true {
            let filter = state.map { "&state=\(percentEncoded($0))" } ?? ""
            let target = "/api/nearhub/upstream?after=\(after)&limit=500\(filter)"
            let answer = try object(try ask("GET", target, about: "upstream"), about: "upstream")
            guard let rows = answer["devices"]?.array else { throw Self.unexpected("upstream") }
            for row in rows.compactMap(\.object) { visit(HubUpstreamRow(json: row)) }
            guard let next = answer["next"]?.unsigned else { return }
            guard next > after else { throw Self.unexpected("upstream") }
            after = next
        }
    }

    /// Has upstream told again of a device, or of all that it refused: `POST /api/nearhub/upstream/retry`.
    ///
    /// - Returns: of how many devices.
    public func retryUpstream(_ name: Text?) throws(ControlError) -> Int {
        let subject = name.map { "device '\(printable($0.description))'" } ?? "upstream"
        var body = JSONObject()
        body["device"] = name.map(JSONValue.text)
        let answer = try object(
            try ask("POST", "/api/nearhub/upstream/retry", .object(body), about: subject), about: subject)
        guard let count = answer["retried"]?.unsigned else { throw Self.unexpected(subject) }
        return Int(clamping: count)
    }

    /// Decides about a device: `POST /api/nearhub/upstream/resolve`.
    public func resolveUpstream(_ name: Text, _ decision: UpstreamDecision) throws(ControlError) -> HubUpstreamRow {
        let subject = "device '\(printable(name.description))'"
        var body = JSONObject()
        body["device"] = .text(name)
        switch decision {
        case .rename(let new): body["rename"] = .text(new)
        case .keepLocal: body["keepLocal"] = .bool(true)
        case .adopt: body["adopt"] = .bool(true)
        }
        let answer = try ask("POST", "/api/nearhub/upstream/resolve", .object(body), about: subject)
        return HubUpstreamRow(json: try object(answer, about: subject))
    }
}
