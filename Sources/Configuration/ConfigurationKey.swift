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
        case level(Member<Configuration.Log.Level>)
    }

    let section: String
    let name: String
    let fallback: String
    let shape: Shape
    let help: [String]

    /// What `--set` calls it.
    var path: String { "\(section).\(name)" }

    static let all: [ConfigurationKey] = [
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
            section: "admin", name: "socket", fallback: "/run/nearhub/nearhub.sock", shape: .socket(\.admin.socket),
            help: [
                "The Unix socket the commands of nearhub talk to, of 107 bytes at most. A path that does not",
                "begin with / starts at the hub's working directory.",
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
        case .level(let target):
            guard let level = Configuration.Log.Level(rawValue: value) else {
                let levels = Configuration.Log.Level.allCases.map(\.rawValue)
                throw offence(
                    value, "is not one of \(levels.joined(separator: ", "))", at: location,
                    advice: nearest(to: value, among: levels).map { "did you mean '\($0)'?" })
            }
            configuration[keyPath: target] = level
        }
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
