internal import Glibc

/// A numeric address and port to listen on, such as `0.0.0.0:8080` or `[::1]:8080`.
public struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    /// The IPv4 or IPv6 address in its shortest spelling (RFC 5952), without brackets.
    public let host: String
    /// The port; 0 for any free one.
    public let port: UInt16
    /// Whether `host` is an IPv6 address.
    public let isIPv6: Bool

    /// Reads `1.2.3.4:80` or `[::1]:80`; nil for anything else, names of hosts among it.
    public init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = Self.port(text[text.index(after: colon)...]) else {
            return nil
        }
        let host = text[..<colon]
        let isIPv6 = host.hasPrefix("[") && host.hasSuffix("]")
        let literal = isIPv6 ? String(host.dropFirst().dropLast()) : String(host)
        guard let canonical = Self.canonical(literal, family: isIPv6 ? AF_INET6 : AF_INET) else { return nil }
        self.host = canonical
        self.port = port
        self.isIPv6 = isIPv6
    }

    /// The form it is configured in.
    public var description: String { isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)" }

    private static func port(_ digits: some StringProtocol) -> UInt16? {
        digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt16(digits) : nil
    }

    /// The one spelling of an address (inet_pton(3), inet_ntop(3)); nil when it is none.
    private static func canonical(_ literal: String, family: CInt) -> String? {
        var binary = in6_addr()
        guard unsafe inet_pton(family, literal, &binary) == 1 else { return nil }
        let capacity = Int(INET6_ADDRSTRLEN)
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { text in
            guard let start = text.baseAddress, unsafe inet_ntop(family, &binary, start, socklen_t(capacity)) != nil
            else { return nil }
            return unsafe String(cString: start)
        }
    }
}
