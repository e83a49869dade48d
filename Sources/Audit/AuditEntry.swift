public import JSON

/// One line of the audit log: who asked for what over which face, and how it ended.
///
/// It has no room for secrets.
public struct AuditEntry: Sendable {
    /// How it ended.
    public enum Result: String, Hashable, Sendable {
        /// A device got an identity that it had not before.
        case provisioned
        /// Not done; the reason says why.
        case refused
        /// Not understood; the reason says what is wrong.
        case malformed
        /// An administrator made it.
        case created
        /// An administrator changed it.
        case changed
        /// An administrator ended it.
        case deleted
    }

    /// The face, such as `http`; `admin` for what administrators do.
    public let face: Text
    /// Who asked: an address, a topic, or `uid 0`.
    public let peer: String
    /// How it ended.
    public let result: Result
    /// Why it was refused: a stable code, or what is malformed.
    public let reason: Text?
    /// The profile's name, once the device has proven to belong to it.
    public let profile: Text?
    /// The device's name, as far as there is one.
    public let device: Text?
    /// The number of the record that says it: in devices.jsonl, or in profiles.jsonl when there is no device.
    public let seq: UInt64?

    /// The most characters of a text of others that are kept.
    static let longest = 255

    /// A line of the given parts.
    public init(
        face: Text, peer: String, result: Result, reason: Text? = nil, profile: Text? = nil, device: Text? = nil,
        seq: UInt64? = nil
    ) {
        self.face = face
        self.peer = peer
        self.result = result
        self.reason = reason
        self.profile = profile
        self.device = device
        self.seq = seq
    }

    /// What entries that are counted together have in common.
    var kind: Kind { Kind(face: face, result: result, reason: result == .malformed ? nil : reason) }

    struct Kind: Hashable {
        let face: Text
        let result: Result
        let reason: Text?
    }

    /// Writes it as a line.
    func write(to json: inout JSONWriter, at time: AuditTime) {
        json.beginObject()
        time.write(to: &json)
        if let seq { json.member("seq", seq) }
        json.member("face", face)
        json.member("peer", Text(peer).bounded)
        if let profile { json.member("profile", profile.bounded) }
        if let device, !device.isEmpty { json.member("device", device.bounded) }
        json.member("result", word: result)
        if let reason { json.member("reason", reason.bounded) }
        json.endObject()
        json.bytes.append(UInt8(ascii: "\n"))
    }
}

extension AuditEntry.Kind {
    /// Writes the line that stands for entries left out.
    func write(to json: inout JSONWriter, count: Int, at time: AuditTime) {
        json.beginObject()
        time.write(to: &json)
        json.member("face", face)
        json.member("result", word: result)
        if let reason { json.member("reason", reason) }
        json.member("count", count)
        json.endObject()
        json.bytes.append(UInt8(ascii: "\n"))
    }
}

extension Text {
    /// The beginning of a text that others chose, so that a line stays a line.
    fileprivate var bounded: Text {
        guard utf8.count > AuditEntry.longest else { return self }
        let scalars = description.unicodeScalars
        guard scalars.count > AuditEntry.longest else { return self }
        var beginning = String.UnicodeScalarView()
        beginning.append(contentsOf: scalars.prefix(AuditEntry.longest))
        return Text(String(beginning) + "…")
    }
}
