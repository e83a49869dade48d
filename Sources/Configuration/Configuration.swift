internal import Glibc

/// What the operator decided: the addresses, limits and paths the hub runs with.
///
/// Every key, its default, its rule and its explanation stand in one table (`ConfigurationKey.all`); the text of
/// etc/nearhub.conf is written from it (`reference`).
public struct Configuration: Sendable, Equatable {
    /// The HTTP endpoint that devices reach.
    public struct HTTP: Sendable, Equatable {
        /// Where to listen; empty when HTTP is off.
        public internal(set) var listen: [ListenAddress] = []
        /// The largest number of open connections, all addresses together.
        public internal(set) var maxConnections = 0
        /// The largest number of open connections of one IPv4 address or one IPv6 /64.
        public internal(set) var maxConnectionsPerAddress = 0
    }

    /// The CoAP endpoint that devices reach.
    public struct CoAP: Sendable, Equatable {
        /// Where to listen, by UDP; empty when CoAP is off.
        public internal(set) var listen: [ListenAddress] = []
    }

    /// The MQTT broker at which devices ask.
    public struct MQTT: Sendable, Equatable {
        /// The protocol's version.
        public enum Version: String, Sendable, CaseIterable {
            case v5 = "5"
            case v311 = "3.1.1"
        }

        /// The broker; nil when MQTT is off.
        public internal(set) var url: BrokerAddress?
        /// A file with the certificates that vouch for the broker; empty for those of the system.
        public internal(set) var caFile = ""
        /// Who the hub is to the broker; of two with the same id the broker disconnects the older.
        public internal(set) var clientId = ""
        /// The user name; empty for none.
        public internal(set) var username = ""
        /// A file with the password; empty for none.
        public internal(set) var passwordFile = ""
        /// The protocol's version.
        public internal(set) var version = Version.v5
        /// Whether the Response Topic of MQTT 5 is honoured.
        public internal(set) var responseTopics = false
        /// Whether requests on the shared topic are answered there, for everybody to read.
        public internal(set) var sharedResponses = false
    }

    /// The upstream, to which every device is told.
    public struct Upstream: Sendable, Equatable {
        /// How upstream is spoken to.
        public enum Dialect: String, Sendable, CaseIterable {
            case off, journal, thingsboard
            case gateway = "thingsboard-gateway"
        }

        /// How upstream is spoken to.
        public internal(set) var dialect = Dialect.off
        /// Where it is; nil only while the dialect is `off`.
        public internal(set) var url: BrokerAddress?
        /// The user name; empty for none.
        public internal(set) var username = ""
        /// A file with the password; empty for none.
        public internal(set) var passwordFile = ""
        /// Whether the password may go over a connection in clear.
        public internal(set) var allowPlaintext = false
        /// A PEM file with the certificates that vouch for the server; empty for those of the system.
        public internal(set) var caFile = ""
        /// The most devices in flight.
        public internal(set) var window = 0
        /// The most connections that provision at the same time.
        public internal(set) var sessions = 0
        /// The most devices a second; nil for no limit.
        public internal(set) var rate: Double?
        /// Whether records hold credentials.
        public internal(set) var includeCredentials = false
        /// What stands before every name upstream.
        public internal(set) var namePrefix = ""
        /// A file with the provision key of one profile upstream; empty to use each device's own profile.
        public internal(set) var provisionKeyFile = ""
        /// A file with its secret.
        public internal(set) var provisionSecretFile = ""

        /// The keys that send a secret upstream, each with what it is.
        ///
        /// Dialect `thingsboard` without a file sends the secrets of the profiles, of which the daemon warns.
        fileprivate var secrets: [(name: String, secret: String)] {
            var secrets: [(String, String)] = []
            if !passwordFile.isEmpty { secrets.append(("password-file", "the password")) }
            switch dialect {
            case .off: break
            case .journal:
                if includeCredentials { secrets.append(("include-credentials", "every device's credentials")) }
            case .thingsboard:
                if !provisionSecretFile.isEmpty { secrets.append(("provision-secret-file", "the provision secret")) }
            case .gateway:
                // With a password it is no more than a name.
                if !username.isEmpty, passwordFile.isEmpty { secrets.append(("username", "the access token")) }
            }
            return secrets
        }
    }

    /// The Unix socket of the administrator.
    public struct Admin: Sendable, Equatable {
        /// The socket's path; one that is not absolute starts at the working directory.
        public internal(set) var socket = ""
    }

    /// What is written to the log.
    public struct Log: Sendable, Equatable {
        /// How important a message must be to be written, from the least to the most.
        public enum Level: String, Sendable, CaseIterable {
            case trace, debug, info, notice, warning, error, critical
        }

        /// Messages below this level are left out.
        public internal(set) var level = Level.info
    }

    /// The logs of profiles and devices.
    public struct Store: Sendable, Equatable {
        /// What the hub does with a log that is damaged.
        public enum Damaged: String, Sendable, CaseIterable {
            case refuse
            case serveRest = "serve-rest"
        }

        /// The state directory; one that is not absolute starts at the working directory.
        public internal(set) var directory = ""
        /// What the hub does with a log that is damaged.
        public internal(set) var damaged = Damaged.refuse
    }

    /// Section `[store]`.
    public internal(set) var store = Store()
    /// Section `[http]`.
    public internal(set) var http = HTTP()
    /// Section `[coap]`.
    public internal(set) var coap = CoAP()
    /// Section `[mqtt]`.
    public internal(set) var mqtt = MQTT()
    /// Section `[upstream]`.
    public internal(set) var upstream = Upstream()
    /// Section `[admin]`.
    public internal(set) var admin = Admin()
    /// Section `[log]`.
    public internal(set) var log = Log()

    /// The file that is read when none is named.
    public static let defaultFile = "/etc/nearhub/nearhub.conf"

    /// The file that is read: the one that is named, else that of `$NEARHUB_CONFIG`, else the default one.
    ///
    /// - Returns: its path; nil when all values are defaults, since the default file is not there.
    public static func file(_ named: String?) -> String? {
        if let named { return named }
        if let name = unsafe getenv("NEARHUB_CONFIG"), unsafe name.pointee != 0 { return unsafe String(cString: name) }
        return unsafe access(defaultFile, F_OK) == 0 ? defaultFile : nil
    }

    /// Where keys were set, such as `/etc/nearhub/nearhub.conf:12`; those that were not are not in it.
    private var places = Places()

    /// Where keys were set; makes no difference between two configurations.
    private struct Places: Sendable, Equatable {
        var byKey: [String: String] = [:]

        static func == (_: Places, _: Places) -> Bool { true }
    }

    private init() {}

    /// Where a key was set, and what it is called, for errors that are found later.
    ///
    /// - Parameters:
    ///   - section: the section, without brackets.
    ///   - name: the key.
    public func place(_ section: String, _ name: String) -> String {
        (places.byKey["\(section).\(name)"].map { "\($0): " } ?? "") + "[\(section)] \(name)"
    }

    /// Reads a configuration file and lays the overrides over it; what neither names has its default.
    ///
    /// - Parameters:
    ///   - file: the INI file; nil for defaults only.
    ///   - overrides: `section.key=value`, as `--set` has them; of two for one key the later stands.
    /// - Throws: the first offence, with its place.
    public static func load(file: String?, overrides: [String]) throws(ConfigurationError) -> Configuration {
        var configuration = Configuration()
        for key in ConfigurationKey.all {
            try key.set(key.fallback, in: &configuration, at: "built-in default")
        }
        var lines: [String: Int] = [:]
        for entry in try file.map(INIFile.entries) ?? [] {
            let key = try ConfigurationKey.find(
                section: entry.section, name: entry.name, at: entry.location, sectionAt: entry.sectionLocation)
            if let first = lines[key.path] {
                throw ConfigurationError(
                    at: entry.location, "'\(key.name)' of [\(key.section)] was already set in line \(first)",
                    advice: "keep one of the two lines")
            }
            lines[key.path] = entry.line
            try key.set(entry.value, in: &configuration, at: entry.location)
            configuration.places.byKey[key.path] = entry.location
        }
        for override in overrides {
            let (key, value) = try split(override)
            try key.set(value, in: &configuration, at: "--set \(key.path)")
            configuration.places.byKey[key.path] = "--set"
        }
        try configuration.checkUpstream()
        return configuration
    }

    /// Refuses what does not go together.
    private func checkUpstream() throws(ConfigurationError) {
        func offence(_ name: String, _ problem: String, _ advice: String) -> ConfigurationError {
            ConfigurationError(at: places.byKey["upstream.\(name)"] ?? "[upstream]", problem, advice: advice)
        }
        guard upstream.dialect != .off else { return }
        guard let url = upstream.url else {
            throw offence("dialect", "'dialect' of [upstream] is set and 'url' is not", "say where upstream is")
        }
        let hasPassword = !upstream.passwordFile.isEmpty
        if hasPassword, upstream.username.isEmpty, upstream.dialect != .gateway {
            throw offence("password-file", "'password-file' of [upstream] is of no use without 'username'", "set both")
        }
        if !upstream.caFile.isEmpty, !url.isEncrypted {
            throw offence("ca-file", "'ca-file' of [upstream] is of no use with mqtt://", "write mqtts:// for TLS")
        }
        if upstream.provisionKeyFile.isEmpty != upstream.provisionSecretFile.isEmpty {
            let name = upstream.provisionKeyFile.isEmpty ? "provision-secret-file" : "provision-key-file"
            throw offence(name, "'\(name)' of [upstream] is of no use alone", "set both files or none")
        }
        if !url.isEncrypted, !upstream.allowPlaintext, let (name, secret) = upstream.secrets.first {
            throw offence(
                name, "'\(name)' of [upstream] with mqtt:// would send \(secret) in clear",
                "use mqtts://, or set allow-plaintext = yes in a network you trust")
        }
    }

    /// Takes `section.key=value` apart.
    private static func split(_ override: String) throws(ConfigurationError) -> (ConfigurationKey, String) {
        let sides = override.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let names = sides[0].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard sides.count == 2, names.count == 2 else {
            throw ConfigurationError(
                at: "--set", "\(quoted(override)) is not of the form section.key=value",
                advice: "an example is --set http.listen=127.0.0.1:8080")
        }
        let place = "--set \(unquoted(sides[0]))"
        let key = try ConfigurationKey.find(
            section: String(names[0]), name: String(names[1]), at: place, sectionAt: place)
        return (key, String(sides[1]))
    }
}
