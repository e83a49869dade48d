internal import Glibc
internal import TestSupport
internal import Testing

@testable internal import HTTPServer

@Suite("Limits of connections")
struct ConnectionLimitsTests {
    @Test func `so many in all and no more`() throws {
        let limits = ConnectionLimits(maximum: 3, maximumPerAddress: 2)
        let networks = try ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map { try #require(network($0)) }
        for network in networks.dropLast() {
            #expect(limits.admits(network))
            limits.opened(network)
        }
        #expect(limits.count == 3)
        #expect(networks.allSatisfy { !limits.admits($0) })
        limits.closed(networks[0])
        #expect(limits.count == 2)
        #expect(networks.allSatisfy { limits.admits($0) })
    }

    @Test func `so many of one address and no more`() throws {
        let limits = ConnectionLimits(maximum: 100, maximumPerAddress: 2)
        let (one, other) = (try #require(network("10.0.0.1")), try #require(network("10.0.0.2")))
        limits.opened(one)
        limits.opened(one)
        #expect(!limits.admits(one))
        #expect(limits.admits(other))
        limits.closed(one)
        #expect(limits.admits(one))
        limits.closed(one)
        limits.opened(one)
        limits.opened(one)
        #expect(!limits.admits(one))
    }

    @Test(arguments: [
        ("10.0.0.1", "10.0.0.1", true), ("10.0.0.1", "10.0.0.2", false),
        ("2001:db8::1", "2001:db8::ffff:0:0:2", true), ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ("2001:db8::1", "2001:db8:1::1", false), ("0.0.0.0", "::", false),
    ])
    func `an IPv4 address counts whole, an IPv6 address by its /64`(one: String, other: String, isSame: Bool) throws {
        let (first, second) = (try #require(network(one)), try #require(network(other)))
        #expect((first == second) == isSame)
    }

    @Test func `a Unix socket has no network`() {
        var address = sockaddr(sa_family: sa_family_t(AF_UNIX), sa_data: sockaddr().sa_data)
        #expect(unsafe PeerNetwork(&address) == nil)
    }

    @Test func `random openings and closings end where a plain count ends`() throws {
        var random = SeededNumbers(state: 9)
        let networks = try (1...5).map { try #require(network("10.0.0.\($0)")) }
        let limits = ConnectionLimits(maximum: 12, maximumPerAddress: 4)
        var counts = [0, 0, 0, 0, 0]
        for _ in 0..<5000 {
            let index = Int.random(in: 0..<5, using: &random)
            let total = counts.reduce(0, +)
            #expect(limits.count == total)
            #expect(limits.admits(networks[index]) == (total < 12 && counts[index] < 4))
            if Bool.random(using: &random) {
                guard limits.admits(networks[index]) else { continue }
                limits.opened(networks[index])
                counts[index] += 1
            } else if counts[index] > 0 {
                limits.closed(networks[index])
                counts[index] -= 1
            }
        }
    }

    private func network(_ text: String) -> PeerNetwork? {
        if text.contains(":") {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            guard unsafe inet_pton(AF_INET6, text, &address.sin6_addr) == 1 else { return nil }
            return unsafe withUnsafeMutablePointer(to: &address) { pointer in
                unsafe PeerNetwork(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self))
            }
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        guard unsafe inet_pton(AF_INET, text, &address.sin_addr) == 1 else { return nil }
        return unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe PeerNetwork(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self))
        }
    }
}
