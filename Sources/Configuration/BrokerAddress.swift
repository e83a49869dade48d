/// Where an MQTT broker is, as `mqtt://HOST[:PORT]`, or `mqtts://HOST[:PORT]` for TLS.
public struct BrokerAddress: Sendable, Hashable, CustomStringConvertible {
    /// A URL that is not of this form.
    public struct Flaw: Error, Sendable, Equatable {}

    /// The name or numeric address, IPv6 without brackets.
    public let host: String
    /// The TCP port.
    public let port: UInt16
    /// Whether the connection is by TLS.
    public let isEncrypted: Bool

    /// The ports of MQTT without and with TLS, as registered with IANA.
    private static let defaultPorts: (plain: UInt16, encrypted: UInt16) = (1883, 8883)
    /// The longest name of a host (RFC 1035, 2.3.4).
    private static let longestHost = 253

    /// Reads a URL; a slash at its end is no harm, a user, a path or a query is none of it.
    public init(_ url: some StringProtocol) throws(Flaw) {
        guard let scheme = ["mqtt://", "mqtts://"].first(where: url.lowercased().hasPrefix) else { throw Flaw() }
        isEncrypted = scheme == "mqtts://"
        var authority = String(url.dropFirst(scheme.count))
        if authority.hasSuffix("/") { authority.removeLast() }
        var port = isEncrypted ? Self.defaultPorts.encrypted : Self.defaultPorts.plain
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            let digits = authority[authority.index(after: colon)...]
            guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                let number = UInt16(digits), number > 0
            else { throw Flaw() }
            port = number
            authority = String(authority[..<colon])
        }
        if authority.hasPrefix("["), authority.hasSuffix("]") {
            authority = String(authority.dropFirst().dropLast())
        } else if authority.contains(":") {
            throw Flaw()
        }
        let isPlain =
            authority.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } && !authority.contains { "@/?#[]\\\"<>".contains($0) }
        guard !authority.isEmpty, authority.utf8.count <= Self.longestHost, isPlain else { throw Flaw() }
        host = authority
        self.port = port
    }

    /// The URL with its port.
    public var description: String {
        "\(isEncrypted ? "mqtts" : "mqtt")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}
