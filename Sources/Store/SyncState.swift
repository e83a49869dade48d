public import JSON
internal import Journal
public import Provisioning

/// What is to be remembered of a device and upstream, for the few devices of which there is something.
public struct SyncState: Sendable, Hashable {
    /// How upstream and the hub stand.
    public enum Kind: String, Sendable, CaseIterable {
        /// An administrator wants it to be told again.
        case pending
        /// Upstream has it; remembered because it has another name there, or had one here.
        case confirmed
        /// Upstream does not take it.
        case refused
        /// Upstream has it with other credentials.
        case conflict
    }

    /// How upstream and the hub stand.
    public var kind: Kind
    /// The number of the line in devices.jsonl that upstream was told of.
    public var seq: UInt64
    /// Why it is refused: a code for programs.
    public var reason: Text?
    /// The name that an administrator chose for it upstream; nil for that of the hub.
    public var name: Text?
    /// The name that it had here when upstream was told of it, if it may not know the new one.
    public var formerName: Text?
    /// The credentials that it has upstream, when they differ.
    public var upstream: Credentials?
    /// Since when, in milliseconds since 1970; for people.
    public var since: Int64

    /// A state of the given parts.
    public init(
        _ kind: Kind, seq: UInt64, reason: Text? = nil, name: Text? = nil, formerName: Text? = nil,
        upstream: Credentials? = nil, since: Int64
    ) {
        self.kind = kind
        self.seq = seq
        self.reason = reason
        self.name = name
        self.formerName = formerName
        self.upstream = upstream
        self.since = since
    }
}

/// How far upstream has been told of the device log.
public struct UpstreamCursor: Sendable, Hashable {
    /// Who was told: the dialect and the address; another one is told everything anew.
    public var target: Text
    /// A digest of what else was decided about upstream; when it changes, refused devices are told again.
    public var settings: Text
    /// The number of the line in devices.jsonl up to which it was.
    public var seq: UInt64
    /// The highest number at which it was told that a device has ended; 0 when it never was.
    public var ended: UInt64

    /// A cursor of the given parts.
    public init(target: Text, settings: Text = "", seq: UInt64, ended: UInt64 = 0) {
        self.target = target
        self.settings = settings
        self.seq = seq
        self.ended = ended
    }
}

extension SyncState {
    /// Writes the object of the member `sync` of a line in upstream.jsonl.
    func write(of device: Text, to json: inout JSONWriter) {
        json.beginObject()
        json.member("device", device)
        json.member("of", seq)
        json.member("state", word: kind)
        if let reason { json.member("reason", reason) }
        if let name { json.member("name", name) }
        if let formerName { json.member("formerName", formerName) }
        if let upstream {
            json.name("upstream")
            upstream.write(to: &json)
        }
        json.member("since", since)
        json.endObject()
    }

    /// Reads the member `sync` of a line.
    init(_ json: JSONValue) throws(InvalidRecord) {
        guard let kind = json["state"]?.text.flatMap({ Kind(rawValue: $0.description) }),
            let seq = json["of"]?.unsigned
        else { throw InvalidRecord("a sync state without number or of an unknown kind") }
        let upstream: Credentials? = if let there = json["upstream"] { try Credentials(there) } else { nil }
        self.init(
            kind, seq: seq, reason: json["reason"]?.text, name: json["name"]?.text,
            formerName: json["formerName"]?.text, upstream: upstream, since: json["since"]?.integer ?? 0)
    }
}
