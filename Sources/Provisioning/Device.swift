internal import Crypto
public import JSON

/// A device with its credentials: one record, so that there is no state between the two.
public struct Device: Sendable {
    /// How it came to its identity.
    public struct Provisioned: Hashable, Sendable {
        /// The sequence number of the line that first says so; nil while that line is being written.
        public var seq: UInt64?
        /// The face it asked at, such as `http`.
        public let via: Text
        /// Who chose its credentials.
        public let source: Credentials.Source

        /// A first SUCCESS over the given face.
        public init(seq: UInt64? = nil, via: Text, source: Credentials.Source) {
            self.seq = seq
            self.via = via
            self.source = source
        }
    }

    /// UUID, 36 characters.
    public let id: Text
    /// Unique among the devices.
    public var name: Text
    /// The id of its device profile.
    public var profile: Text
    /// For people.
    public var label: Text?
    /// Milliseconds since 1970.
    public let createdTime: Int64
    /// What it proves its identity with.
    public var credentials: Credentials
    /// The attributes of server scope, `provisionState` among them.
    public var attributes: JSONObject
    /// Whether it is a gateway.
    public var isGateway: Bool
    /// How it was provisioned; nil if it never was.
    public var provisioned: Provisioned?

    /// A device of the given values.
    public init(
        id: Text, name: Text, profile: Text, label: Text? = nil, createdTime: Int64, credentials: Credentials,
        attributes: JSONObject = JSONObject(), isGateway: Bool = false, provisioned: Provisioned? = nil
    ) {
        self.id = id
        self.name = name
        self.profile = profile
        self.label = label
        self.createdTime = createdTime
        self.credentials = credentials
        self.attributes = attributes
        self.isGateway = isGateway
        self.provisioned = provisioned
    }

    /// The name of the attribute that says whether a device was provisioned.
    public static let provisionState: Text = "provisionState"
    /// The value of that attribute once it was.
    public static let isProvisioned = JSONValue.text("provisioned")
    /// The attributes of a device that is new.
    static let provisionedAttributes = JSONObject([.init(name: provisionState, value: isProvisioned)])
}

extension Device {
    /// Writes the object of the member `device` of a line in devices.jsonl.
    public func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("id", id)
        json.member("name", name)
        json.member("profile", profile)
        if let label {
            json.member("label", label)
        }
        json.member("createdTime", createdTime)
        json.name("credentials")
        credentials.write(to: &json)
        json.name("attributes")
        json.value(.object(attributes))
        if isGateway {
            json.member("gateway", true)
        }
        if let provisioned { provisioned.write(to: &json) }
        if let certificate { certificate.write(to: &json) }
        json.endObject()
    }

    /// Reads the member `device` of a line.
    ///
    /// - Parameters:
    ///   - json: the object.
    ///   - seq: the sequence number of its line.
    public init(_ json: JSONValue, seq: UInt64) throws(InvalidRecord) {
        guard let id = json["id"]?.text, let name = json["name"]?.text, let profile = json["profile"]?.text else {
            throw InvalidRecord("device without id, name and profile")
        }
        self.init(
            id: id, name: name, profile: profile, label: try json["label"].optionalText("label"),
            createdTime: json["createdTime"]?.integer ?? 0, credentials: try Credentials(json["credentials"]),
            attributes: json["attributes"]?.object ?? JSONObject(), isGateway: json["gateway"]?.bool ?? false,
            provisioned: try Provisioned(json["provisioned"], seq: seq))
    }

    /// What people want to know of its certificate; nil unless the credentials are one that can be read.
    private var certificate: Certificate? {
        guard credentials.type == .x509Certificate, let text = credentials.value else { return nil }
        return Base64.decode(text.utf8).flatMap(Certificate.init(der:))
    }
}

extension Device.Provisioned {
    fileprivate func write(to json: inout JSONWriter) {
        json.name("provisioned")
        json.beginObject()
        if let seq {
            json.member("seq", seq)
        }
        json.member("via", via)
        json.member("credentials", word: source)
        json.endObject()
    }

    fileprivate init?(_ json: JSONValue?, seq: UInt64) throws(InvalidRecord) {
        guard let json else { return nil }
        guard let via = json["via"]?.text,
            let source = json["credentials"]?.text.flatMap({ Credentials.Source(rawValue: $0.description) })
        else { throw InvalidRecord("device with an unreadable member provisioned") }
        self.init(seq: json["seq"]?.unsigned ?? seq, via: via, source: source)
    }
}

extension Certificate {
    fileprivate func write(to json: inout JSONWriter) {
        json.name("x509")
        json.beginObject()
        json.member("subject", Text(subject))
        json.member("notAfter", Text(notAfter))
        json.endObject()
    }
}
