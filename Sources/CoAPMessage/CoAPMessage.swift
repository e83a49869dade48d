/// What a server of CoAP has: a path and the methods that it takes there.
public struct CoAPResource: Sendable {
    /// The path's segments, such as `["api", "v1", "provision"]`.
    public let path: [String]
    /// The methods; any other is answered by 4.05.
    public let methods: Set<CoAPMethod>

    /// A resource of the given path and methods.
    public init(path: [String], methods: Set<CoAPMethod>) {
        self.path = path
        self.methods = methods
    }
}

/// One whole CoAP request, put together from its blocks, free of the library that received it.
public struct CoAPRequest: Sendable {
    /// One of the methods of the resource.
    public let method: CoAPMethod
    /// The path of the resource, in segments.
    public let path: [String]
    /// The whole body.
    public let body: [UInt8]
    /// Who sent it: the address without its port, such as `192.0.2.7` or `2001:db8::7`.
    public let peer: String
    /// Whether the sender wants to know that it arrived (CON), and so sends it again until it does.
    public let isConfirmable: Bool

    /// A request of the given parts.
    public init(method: CoAPMethod, path: [String], body: [UInt8], peer: String, isConfirmable: Bool) {
        self.method = method
        self.path = path
        self.body = body
        self.peer = peer
        self.isConfirmable = isConfirmable
    }
}

/// One whole CoAP response, free of the library that sends it, and not yet cut into blocks.
public struct CoAPResponse: Sendable {
    /// The response code.
    public let code: CoAPCode
    /// What the body is (RFC 7252 section 12.3): 0 for text, 50 for JSON; nil leaves the option out.
    public let contentFormat: UInt16?
    /// The body; may be empty.
    public let body: [UInt8]
    /// What stands in for the body of an error where that would be too long an answer to a short request; itself short.
    public let brief: [UInt8]
    /// Seconds after which the client may try again, with 5.03 (RFC 7252 section 5.9.3.4).
    public let maxAge: UInt32?

    /// A response of the given parts.
    public init(
        _ code: CoAPCode, contentFormat: UInt16? = nil, body: [UInt8] = [], brief: [UInt8] = [], maxAge: UInt32? = nil
    ) {
        self.code = code
        self.contentFormat = contentFormat
        self.body = body
        self.brief = brief
        self.maxAge = maxAge
    }

    /// What is answered while there is too much to do, or soon no one to do it.
    public static let busy = CoAPResponse(.unavailable, maxAge: 5)
}
