/// Where an MQTT broker is, as `mqtt://HOST[:PORT]`.
public struct BrokerAddress: Sendable, Hashable, CustomStringConvertible {
    /// Why a URL cannot be used.
    public enum Flaw: Error, Sendable {
        /// `mqtts://`: TLS.
        case encrypted
        /// Anything else that is not `mqtt://HOST[:PORT]`.
        case form
    }

    /// The name or numeric address, IPv6 without brackets.
    public let host: String
    /// The TCP port.
    public let port: UInt16

    /// The port of MQTT without TLS, as registered with IANA.
    public static let defaultPort: UInt16 = 1883
    /// The longest name of a host (RFC 1035, 2.3.4).
    private static let longestHost = 253

    /// Reads a URL; a slash at its end is no harm, a user, a path or a query is none of it.
    public init(_ url: some StringProtocol) throws(Flaw) {
        let scheme = "mqtt://"
        guard !url.lowercased().hasPrefix("mqtts://") else { throw .encrypted }
        guard url.lowercased().hasPrefix(scheme) else { throw .form }
        var authority = String(url.dropFirst(scheme.count))
        if authority.hasSuffix("/") { authority.removeLast() }
        var port = Self.defaultPort
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            let digits = authority[authority.index(after: colon)...]
            guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                let number = UInt16(digits), number > 0
            else { throw .form }
            port = number
            authority = String(authority[..<colon])
        }
        if authority.hasPrefix("["), authority.hasSuffix("]") {
            authority = String(authority.dropFirst().dropLast())
        } else if authority.contains(":") {
            throw .form
        }
        let isPlain =
            authority.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } && !authority.contains { "@/?#[]\\\"<>".contains($0) }
        guard !authority.isEmpty, authority.utf8.count <= Self.longestHost, isPlain else { throw .form }
        host = authority
        self.port = port
    }

    /// The URL with its port.
    public var description: String { host.contains(":") ? "mqtt://[\(host)]:\(port)" : "mqtt://\(host):\(port)" }
}
