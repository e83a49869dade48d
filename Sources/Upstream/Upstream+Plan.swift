internal import JSON
public import MQTTClient

extension Upstream {
    /// Where and how to connect.
    public struct Address: Sendable {
        /// The server's name or numeric address.
        public var host: String
        /// Its port.
        public var port: UInt16
        /// TLS; nil for a connection in clear.
        public var tls: MQTTTLS?

        /// An address of the given parts.
        public init(host: String, port: UInt16, tls: MQTTTLS?) {
            self.host = host
            self.port = port
            self.tls = tls
        }
    }

    /// What the operator decided.
    public struct Plan {
        /// How upstream is spoken to.
        public var dialect: DialectName
        /// Where it is.
        public var address: Address
        /// The address for people and for the log: no user, no password.
        public var url: String
        /// What dialects need.
        public var settings: Settings
        /// What stands before every name upstream.
        public var namePrefix: String

        /// A plan of the given parts.
        public init(
            _ dialect: DialectName, _ address: Address, url: String, _ settings: Settings, namePrefix: String
        ) {
            self.dialect = dialect
            self.address = address
            self.url = url
            self.settings = settings
            self.namePrefix = namePrefix
        }

        /// What decides who is told and what: whenever it changes, all is told anew.
        var target: Text {
            // No url has a blank in it.
            let content = dialect == .journal && settings.includesCredentials ? "+credentials" : ""
            return Text("\(dialect.rawValue) \(url)\(content) \(namePrefix)")
        }

        /// Whether it is the one that was told something else.
        func isSameUpstream(_ other: Text) -> Bool {
            let start = "\(dialect.rawValue) \(url)"
            return ["\(start) ", "\(start)+"].contains { other.description.hasPrefix($0) }
        }
    }
}
