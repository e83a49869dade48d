internal import CCoap
public import CoAPMessage
internal import Glibc

/// Why there is no answer.
public enum CoAPClientError: Error, Sendable {
    /// The host has no address; why, in the resolver's words.
    case unknownHost(String)
    /// Nobody listens there, or there is no way.
    case refused
    /// The other end does not take the message (RST).
    case rejected
    /// Nothing came in time.
    case late
    /// libcoap could not be set up.
    case unusable
}

/// Sends one request over CoAP and waits for its answer, by libcoap: confirmable, in blocks where it is long.
public struct CoAPClient: Sendable {
    private let host: String
    private let port: UInt16

    /// A client of the server at a host name or numeric address (IPv6 without brackets) and a UDP port.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Posts a body of JSON; of a host with several addresses to the first at which somebody listens.
    ///
    /// - Parameters:
    ///   - body: sent with Content-Format 50 (application/json).
    ///   - path: the path's segments.
    ///   - limit: how long it may take in all; the resolver has limits of its own.
    public func post(_ body: [UInt8], to path: [String], within limit: Duration) throws(CoAPClientError) -> CoAPResponse
    {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = CInt(SOCK_DGRAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let failed = unsafe getaddrinfo(host, "\(port)", &hints, &list)
        guard failed == 0 else { throw .unknownHost(unsafe String(cString: gai_strerror(failed))) }
        defer { unsafe freeaddrinfo(list) }
        let deadline = ContinuousClock.now.advanced(by: limit)
        var next = unsafe list
        while let entry = unsafe next {
            do throws(CoAPClientError) {
                let exchange = unsafe try ClientExchange(entry.pointee)
                return try exchange.post(body, to: path, until: deadline)
            } catch {
                guard case .refused = error else { throw error }
            }
            unsafe next = entry.pointee.ai_next
        }
        throw .refused
    }
}
