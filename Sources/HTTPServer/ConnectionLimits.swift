internal import CLinux
internal import CMicrohttpd
internal import Glibc

/// Where a connection comes from, as far as it counts against a limit: an IPv4 address, or the /64 of an IPv6 address.
struct PeerNetwork: Hashable {
    private let family: sa_family_t
    private let prefix: UInt64

    /// Reads a socket address; nil for a Unix socket.
    init?(_ address: UnsafePointer<sockaddr>) {
        family = unsafe address.pointee.sa_family
        switch CInt(family) {
        case AF_INET:
            prefix = UInt64(unsafe UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr)
        case AF_INET6:
            let offset = 8  // of sin6_addr, behind family, port and flow information
            prefix = unsafe UnsafeRawPointer(address).loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        default: return nil
        }
    }
}

/// Bounds the connections over TCP, in all and for each address; shared by all listening sockets.
public final class ConnectionLimits {
    /// The most connections in all.
    public var maximum: Int
    /// The most connections of one IPv4 address or one IPv6 /64.
    public var maximumPerAddress: Int
    private var counts: [PeerNetwork: Int] = [:]
    /// The most bytes of request bodies in memory, 8 MiB: without a bound each connection could hold 64 KiB.
    static let maximumBodyBytes = 8 << 20
    private var bodyBytes = 0
    /// Connections that are open now.
    public private(set) var count = 0

    /// No connections yet.
    ///
    /// - Parameters:
    ///   - maximum: connections in all.
    ///   - maximumPerAddress: connections of one IPv4 address or one IPv6 /64.
    public init(maximum: Int, maximumPerAddress: Int) {
        self.maximum = maximum
        self.maximumPerAddress = maximumPerAddress
    }

    func admits(_ network: PeerNetwork) -> Bool {
        count < maximum && counts[network, default: 0] < maximumPerAddress
    }

    /// Whether there is room for more bytes of a body; they are counted then.
    func takeBody(_ count: Int) -> Bool {
        guard bodyBytes + count <= Self.maximumBodyBytes else { return false }
        bodyBytes += count
        return true
    }

    func returnBody(_ count: Int) { bodyBytes -= count }

    func opened(_ network: PeerNetwork) {
        count += 1
        counts[network, default: 0] += 1
    }

    func closed(_ network: PeerNetwork) {
        count -= 1
        let left = counts[network, default: 1] - 1
        counts[network] = left == 0 ? nil : left
    }
}
