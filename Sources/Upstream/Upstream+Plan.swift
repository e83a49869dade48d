public import JSON
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

        /// What stood before the names of devices that ThingsBoard, as the cursor names it, was told of so far.
        ///
        /// ThingsBoard has no words for a rename: whoever is there already stays there under the old name.
        ///
        /// - Parameter other: the target of the stored cursor.
        /// - Returns: nil if it is the same, or does not matter there.
        public func formerPrefix(_ other: Text) -> String? {
            let start = "\(dialect.rawValue) \(url) "
            guard dialect != .journal, other != target, other.description.hasPrefix(start) else { return nil }
            return String(other.description.dropFirst(start.count))
        }

        /// Whether it is the one that was told something else.
        func isSameUpstream(_ other: Text) -> Bool {
            let start = "\(dialect.rawValue) \(url)"
            return ["\(start) ", "\(start)+"].contains { other.description.hasPrefix($0) }
        }
    }
}
