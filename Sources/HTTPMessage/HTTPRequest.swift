/// Who sent a request.
public enum HTTPPeer: Sendable, CustomStringConvertible {
    /// A device or a person over TCP; the address without its port, such as `192.0.2.7` or `2001:db8::7`.
    case address(String)
    /// A process on this machine over the Unix socket; the user it ran as when it connected (SO_PEERCRED, unix(7)).
    case user(UInt32)

    /// For log lines.
    public var description: String {
        switch self {
        case .address(let address): address
        case .user(let uid): "uid \(uid)"
        }
    }
}

/// One whole HTTP request, free of the library that received it.
public struct HTTPRequest: Sendable {
    /// GET, POST and the like, in capitals.
    public let method: String
    /// The path as it was sent, without the query.
    public let path: String
    /// The query's parameters, percent-decoded, in their order.
    public let query: [(name: String, value: String)]
    /// The whole body.
    public let body: [UInt8]
    /// Who sent it.
    public let peer: HTTPPeer

    /// A request of the given parts.
    public init(
        method: String, path: String, query: [(name: String, value: String)] = [], body: [UInt8] = [], peer: HTTPPeer
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.body = body
        self.peer = peer
    }

    /// The value of a query parameter; of several the first.
    public func parameter(_ name: String) -> String? {
        query.first { $0.name == name }?.value
    }
}
