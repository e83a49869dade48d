/// One key of the configuration: its name, default, rule and explanation.
///
/// `all` is the only place that knows the keys; parsing, checking, advice and the reference text come from it.
struct ConfigurationKey: Sendable {
    /// A place in the configuration.
    typealias Member<Value> = any WritableKeyPath<Configuration, Value> & Sendable

    /// What a value looks like, and the member it goes to.
    enum Shape: Sendable {
        case addresses(Member<[ListenAddress]>)
        case integer(ClosedRange<Int>, Member<Int>)
        case socket(Member<String>)
        case broker(Member<BrokerAddress?>)
        case text(ClosedRange<Int>, Member<String>)
        case flag(Member<Bool>)
        case version(Member<Configuration.MQTT.Version>)
        case level(Member<Configuration.Log.Level>)
        case damaged(Member<Configuration.Store.Damaged>)
        case dialect(Member<Configuration.Upstream.Dialect>)
        case rate(ClosedRange<Double>, Member<Double?>)
    }

    let section: String
    let name: String
    let fallback: String
    let shape: Shape
    let help: [String]

    /// What `--set` calls it.
    var path: String { "\(section).\(name)" }

    static let all: [ConfigurationKey] = faces + upstream + others

    private static let faces: [ConfigurationKey] = [
        ConfigurationKey(
            section: "http", name: "listen", fallback: "0.0.0.0:8080 [::]:8080", shape: .addresses(\.http.listen),
            help: [
                "Where devices reach the hub: ADDRESS:PORT, several separated by blanks. IPv6 stands in",
                "brackets, names of hosts are not resolved, port 0 takes any free port. Left empty, HTTP is off.",
            ]),
        ConfigurationKey(
            section: "http", name: "max-connections", fallback: "1024",
            shape: .integer(1...65536, \.http.maxConnections),
            help: [
                "The largest number of connections open at the same time, 1 to 65536. A connection over",
                "it is closed at once; the device tries again later.",
            ]),
        ConfigurationKey(
            section: "http", name: "max-connections-per-address", fallback: "256",
            shape: .integer(1...65536, \.http.maxConnectionsPerAddress),
            help: [
                "How many of them one IPv4 address, or one IPv6 network of 64 bits, may hold, 1 to 65536.",
                "Raise it when many devices come from behind one address (NAT).",
            ]),
        ConfigurationKey(
            section: "coap", name: "listen", fallback: "0.0.0.0:5683 [::]:5683", shape: .addresses(\.coap.listen),
            help: [
                "Where devices reach the hub by CoAP over UDP, in the same form. Left empty, CoAP is off."
            ]),
        ConfigurationKey(
            section: "mqtt", name: "url", fallback: "", shape: .broker(\.mqtt.url),
            help: [
                "The MQTT broker at which devices ask, mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS. The hub",
                "is its client, and tries again for ever when the broker is away. Left empty, MQTT is off.",
            ]),
        ConfigurationKey(
            section: "mqtt", name: "ca-file", fallback: "", shape: .text(0...192, \.mqtt.caFile),
            help: [
                "A PEM file with the certificates that vouch for the broker of mqtts://. Left empty, those of the",
                "system do, /etc/ssl/certs. The name in the url must be one that the broker's certificate names.",
            ]),
        ConfigurationKey(
            section: "mqtt", name: "client-id", fallback: "nearhub", shape: .text(1...128, \.mqtt.clientId),
            help: [
                "Who the hub is to the broker, of 128 bytes at most. Two hubs at one broker need two ids: the",
                "broker disconnects the older of two clients with the same one.",
            ]),
        ConfigurationKey(
            section: "mqtt", name: "username", fallback: "", shape: .text(0...128, \.mqtt.username),
            help: ["The user name for the broker. Left empty, the hub sends neither name nor password."]),
        ConfigurationKey(
            section: "mqtt", name: "password-file", fallback: "", shape: .text(0...192, \.mqtt.passwordFile),
            help: [
                "A file with the password for the broker, which nobody may read but its owner, root or the hub's",
                "user. It is read at the start. With mqtt:// the password goes over the network as it is: only a",
                "broker on this host, or in a network you trust, keeps it secret; mqtts:// does anywhere.",
            ]),
        ConfigurationKey(
            section: "mqtt", name: "version", fallback: "5", shape: .version(\.mqtt.version),
            help: [
                "The version of MQTT between hub and broker, 5 or 3.1.1. Devices may speak another one."
            ]),
        ConfigurationKey(
            section: "mqtt", name: "response-topics", fallback: "no", shape: .flag(\.mqtt.responseTopics),
            help: [
                "Whether a device may name the topic of its answer (Response Topic of MQTT 5), yes or no. Say",
                "yes only if the broker lets nobody else subscribe to such topics: answers hold credentials.",
            ]),
        ConfigurationKey(
            section: "mqtt", name: "shared-responses", fallback: "no", shape: .flag(\.mqtt.sharedResponses),
            help: [
                "Whether requests on /provision/request itself are answered on /provision/response, yes or no.",
                "EVERY client that subscribes there reads the credentials of every device. With Nearhub's plugin",
                "for Mosquitto no such request reaches the hub; without it they are refused.",
            ]),
    ]

    private static let others: [ConfigurationKey] = [
        ConfigurationKey(
            section: "admin", name: "socket", fallback: "/run/nearhub/nearhub.sock", shape: .socket(\.admin.socket),
            help: [
                "The Unix socket the commands of nearhub talk to, of 107 bytes at most. A path that does not",
                "begin with / starts at the hub's working directory.",
            ]),
        ConfigurationKey(
            section: "store", name: "directory", fallback: "/var/lib/nearhub", shape: .text(1...180, \.store.directory),
            help: [
                "The state directory, of which the hub is the only user; --state wins. The unit of systemd lets",
                "the hub write in /var/lib/nearhub only: another one needs ReadWritePaths= there.",
            ]),
        ConfigurationKey(
            section: "store", name: "damaged", fallback: "refuse", shape: .damaged(\.store.damaged),
            help: [
                "What to do at the start when a log is damaged: refuse it, or serve-rest, which passes over the",
                "damaged lines. A device whose newest line is damaged is then refused with STORAGE; one whose only",
                "line is damaged is not known any more and may become a new device. See nearhub log repair.",
            ]),
        ConfigurationKey(
            section: "log", name: "level", fallback: "info", shape: .level(\.log.level),
            help: ["The least important messages to log: trace, debug, info, notice, warning, error, critical."]),
    ]

    /// The longest path a Unix socket can have: sun_path of unix(7) without the ending NUL.
    static let longestSocketPath = 107

    /// Checks a value and puts it where it belongs.
    func set(_ value: String, in configuration: inout Configuration, at location: String) throws(ConfigurationError) {
        switch shape {
        case .addresses(let target): configuration[keyPath: target] = try addresses(value, at: location)
        case .integer(let range, let target):
            let digits = value.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard digits, let number = Int(value), range.contains(number) else {
                throw offence(value, "is not a number from \(range.lowerBound) to \(range.upperBound)", at: location)
            }
            configuration[keyPath: target] = number
        case .socket(let target):
            guard !value.isEmpty, value.last != "/", !value.utf8.contains(0) else {
                throw offence(value, "is not the path of a socket", at: location)
            }
            guard value.utf8.count <= Self.longestSocketPath else {
                throw offence(
                    value, "has \(value.utf8.count) bytes, a Unix socket has \(Self.longestSocketPath) at most",
                    at: location, advice: "choose a shorter path")
            }
            configuration[keyPath: target] = value
        case .broker(let target):
            configuration[keyPath: target] = value.isEmpty ? nil : try broker(value, at: location)
        case .text(let range, let target):
            let isPrintable = !value.unicodeScalars.contains { $0.properties.generalCategory == .control }
            guard range.contains(value.utf8.count), isPrintable else {
                throw offence(
                    value, "is not text of \(range.lowerBound) to \(range.upperBound) bytes", at: location)
            }
            configuration[keyPath: target] = value
        case .flag(let target): configuration[keyPath: target] = try choice(value, flags, at: location)
        case .version(let target): configuration[keyPath: target] = try choice(value, named(), at: location)
        case .level(let target): configuration[keyPath: target] = try choice(value, named(), at: location)
        case .damaged(let target): configuration[keyPath: target] = try choice(value, named(), at: location)
        case .dialect(let target): configuration[keyPath: target] = try choice(value, named(), at: location)
        case .rate(let range, let target): configuration[keyPath: target] = try rate(value, range, at: location)
        }
    }

    private func broker(_ value: String, at location: String) throws(ConfigurationError) -> BrokerAddress {
        do { return try BrokerAddress(value) } catch {
            throw offence(
                value, "is not mqtt://HOST[:PORT] or mqtts://HOST[:PORT]", at: location,
                advice: "an example is mqtt://127.0.0.1:1883")
        }
    }

    /// A number with or without a fraction; nil for `unlimited`.
    private func rate(
        _ value: String, _ range: ClosedRange<Double>, at location: String
    ) throws(ConfigurationError) -> Double? {
        if value == "unlimited" { return nil }
        let digits = value.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == 0x2E }
        guard digits, let number = Double(value), range.contains(number) else {
            let limits = "\(range.lowerBound) to \(Int(range.upperBound))"
            throw offence(value, "is neither a number from \(limits) nor unlimited", at: location)
        }
        return number
    }

    private var flags: [(String, Bool)] { [("yes", true), ("no", false)] }

    private func named<Value: RawRepresentable<String> & CaseIterable>() -> [(String, Value)] {
        Value.allCases.map { ($0.rawValue, $0) }
    }

    /// One of a few words.
    private func choice<Value>(
        _ value: String, _ choices: [(name: String, value: Value)], at location: String
    ) throws(ConfigurationError) -> Value {
        if let found = choices.first(where: { $0.name == value }) { return found.value }
        let names = choices.map(\.name)
        throw offence(
            value, "is not one of \(names.joined(separator: ", "))", at: location,
            advice: nearest(to: value, among: names).map { "did you mean '\($0)'?" })
    }

    private func addresses(_ value: String, at location: String) throws(ConfigurationError) -> [ListenAddress] {
        var addresses: [ListenAddress] = []
        for word in value.split(whereSeparator: { $0 == " " || $0 == "\t" }) {
            guard let address = ListenAddress(word) else {
                throw offence(
                    word, "is not IPV4:PORT or [IPV6]:PORT", at: location,
                    advice: "numbers only, names of hosts are not resolved; 0.0.0.0 is every IPv4 address of this host"
                        + " and [::] every IPv6 address")
            }
            guard address.port == 0 || !addresses.contains(address) else {
                throw offence(word, "stands there twice", at: location, advice: "keep one of them")
            }
            addresses.append(address)
        }
        return addresses
    }

    private func offence(
        _ value: some StringProtocol, _ rule: String, at location: String, advice: String? = nil
    ) -> ConfigurationError {
        ConfigurationError(at: location, "'\(name)' of [\(section)]: \(quoted(value)) \(rule)", advice: advice)
    }
}
