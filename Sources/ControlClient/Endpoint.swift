internal import JSON

/// Where a hub is reached.
public enum Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// The administrator's Unix socket, by path.
    case socket(String)
    /// A host name or numeric address (IPv6 without brackets) and a port.
    case tcp(host: String, port: UInt16)

    /// The form for people.
    public var description: String {
        switch self {
        case .socket(let path): path
        case .tcp: "http://\(authority)"
        }
    }

    /// The value of the `Host` header (RFC 9110, 7.2).
    var authority: String {
        switch self {
        case .socket: "localhost"
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }
}

/// A plain `http` URL taken apart: whom to connect to, and what to ask there.
public struct HTTPAddress: Sendable, Hashable {
    /// Whom to connect to.
    public let endpoint: Endpoint
    /// The path, with its leading slash; empty when the URL has none.
    public let path: String

    /// Reads `http://HOST[:PORT][/PATH]`; the port is 80 unless given.
    ///
    /// - Throws: another scheme, a user, a query, blanks, or a port that is none.
    public init(_ url: String) throws(ControlError) {
        guard !url.lowercased().hasPrefix("https://") else {
            throw ControlError(
                .address, "an https URL", "this version speaks plain HTTP only",
                advice: "use http:// inside a trusted network")
        }
        let parts = try URLParts(url, scheme: "http", port: 80)
        endpoint = .tcp(host: parts.host, port: parts.port)
        path = parts.path
    }
}

/// A URL of a scheme without TLS taken apart.
struct URLParts: Sendable, Hashable {
    /// A host name or numeric address, IPv6 without brackets.
    let host: String
    let port: UInt16
    /// The path, with its leading slash; empty when the URL has none.
    let path: String

    /// Reads `SCHEME://HOST[:PORT][/PATH]`.
    ///
    /// - Throws: another scheme, a user, a query, blanks, or a port that is none.
    init(_ url: String, scheme: String, port fallback: UInt16) throws(ControlError) {
        let unusable = ControlError(
            .address, url.contains("@") ? "a URL with a user or password" : printable(url),
            "is not of the form \(scheme)://HOST:PORT",
            advice: "an example is \(scheme)://192.0.2.1:\(fallback == 80 ? 8080 : fallback)")
        let start = "\(scheme)://"
        guard url.lowercased().hasPrefix(start) else { throw unusable }
        let rest = url.dropFirst(start.count)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let visible = url.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        guard visible, !url.contains(where: { "@?#\\\"<>".contains($0) }) else { throw unusable }
        var authority = rest[..<slash]
        var port = fallback
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            let digits = authority[authority.index(after: colon)...]
            guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt16(digits), number > 0 else {
                throw unusable
            }
            port = number
            authority = authority[..<colon]
        }
        if authority.hasPrefix("["), authority.hasSuffix("]") { authority = authority.dropFirst().dropLast() }
        guard !authority.isEmpty, !authority.contains(where: { "[]".contains($0) }) else { throw unusable }
        host = String(authority)
        self.port = port
        path = String(rest[slash...])
    }
}
