import Configuration
import Testing

@Suite("Listen addresses")
struct ListenAddressTests {
    @Test(arguments: [
        ("0.0.0.0:8080", "0.0.0.0", 8080, false),
        ("127.0.0.1:0", "127.0.0.1", 0, false),
        ("[::]:8080", "::", 8080, true),
        ("[2001:DB8:0:0:0:0:0:1]:65535", "2001:db8::1", 65535, true),
        ("[::ffff:192.0.2.1]:80", "::ffff:192.0.2.1", 80, true),
    ])
    func `numbers are read and written in one spelling`(text: String, host: String, port: UInt16, isIPv6: Bool) throws {
        let address = try #require(ListenAddress(text))
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.isIPv6 == isIPv6)
        #expect(ListenAddress(address.description) == address)
    }

    @Test(arguments: [
        "", ":", ":80", "8080", "localhost:8080", "gateway.local:80", "*:8080", "127.0.0.1", "127.0.0.1:", "127.1:80",
        "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1:0x50", "127.0.0.1:80:80", "::1:80", "[::1]",
        "[::1]80", "[127.0.0.1]:80", "[fe80::1%eth0]:80", "[]:80", "127.0.0.1 :80", "127.0.0.256:80",
        "127.0.0.1:٣",
    ])
    func `names, shapes and numbers that are no addresses are refused`(text: String) {
        #expect(ListenAddress(text) == nil)
    }
}
