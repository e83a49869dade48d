internal import Glibc

/// The other end of a datagram: address and port, as a key.
///
/// IPv4 addresses are kept as IPv4-mapped IPv6 addresses: libcoap's IPv6 sockets take IPv4 datagrams too.
struct Peer: Hashable {
    /// The address's bytes, in two words; what they mean does not matter to a key.
    let address: (UInt64, UInt64)
    /// Which link a link-local address belongs to.
    let scope: UInt32
    let port: UInt16

    init(address: (UInt64, UInt64), scope: UInt32 = 0, port: UInt16) {
        self.address = address
        self.scope = scope
        self.port = port
    }

    func hasAddress(of other: Peer) -> Bool { address == other.address && scope == other.scope }

    static func == (left: Peer, right: Peer) -> Bool { left.hasAddress(of: right) && left.port == right.port }

    func hash(into hasher: inout Hasher) {
        hasher.combine(address.0)
        hasher.combine(address.1)
        hasher.combine(scope)
        hasher.combine(port)
    }

    /// The address without its port, such as `192.0.2.7` or `2001:db8::7`.
    var addressText: String {
        unsafe withUnsafeBytes(of: address) { bytes in
            let isIPv4 = unsafe bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
            let start = unsafe bytes.baseAddress.map { unsafe $0 + (isIPv4 ? 12 : 0) }
            return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
                guard let target = text.baseAddress,
                    unsafe inet_ntop(isIPv4 ? AF_INET : AF_INET6, start, target, socklen_t(INET6_ADDRSTRLEN)) != nil
                else { return "?" }
                return unsafe String(cString: target)
            }
        }
    }
}
