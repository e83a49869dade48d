internal import Crypto
internal import Testing

@Suite("Certificates")
struct CertificateTests {
    /// Made with `openssl req -x509 -newkey ec -subj "/O=Site 7/CN=meter-1" -days 400`.
    private let base64 =
        "MIIBmjCCAUGgAwIBAgIUVGDWyl6QqZy+vrkOXpmYvO/LYmAwCgYIKoZIzj0EAwIwIzEPMA0GA1UECgwGU2l0ZSA3MRAwDgYDVQQDDAdtZXRl"
        + "ci0xMB4XDTI2MTEyNTEwMDMxOVoXDTI3MTIzMDEwMDMxOVowIzEPMA0GA1UECgwGU2l0ZSA3MRAwDgYDVQQDDAdtZXRlci0xMFkwEwYHKoZI"
        + "zj0CAQYIKoZIzj0DAQcDQgAE0BGUB7GqqUHU1BnVng28OwCoFTKr535+GXcO5d1x29HhM5tS/BtIJN7gXHvzL0I4HoX1Z8LCOW/f5t6pxke1"
        + "P6NTMFEwHQYDVR0OBBYEFFQIBY1ZRsuKK7vQ8F56ij7FPZ9JMB8GA1UdIwQYMBaAFFQIBY1ZRsuKK7vQ8F56ij7FPZ9JMA8GA1UdEwEB/wQF"
        + "MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgUqeicCa9XuURu8t5MtBxhHS7L4iSEvllqrOjivgjzXICIHcA9GY4uT2/n3/Noial5MMwPQ+lf8RF"
        + "1h9EVF37tMwe"

    private func der() throws -> [UInt8] { try #require(Base64.decode(Array(base64.utf8))) }

    @Test func `a certificate tells its subject and its end`() throws {
        let certificate = try #require(Certificate(der: try der()))
        #expect(certificate.subject == "/O=Site 7/CN=meter-1")
        #expect(certificate.notAfter == "2027-12-30T10:03:19Z")
    }

    @Test func `control characters in a subject are escaped`() throws {
        var bytes = try der()
        let name = Array("meter-1".utf8)
        let places = bytes.indices.filter { bytes[$0...].starts(with: name) }
        try #require(places.count == 2)
        bytes[places[1]] = 0x0A
        #expect(Certificate(der: bytes)?.subject == "/O=Site 7/CN=\\x0Aeter-1")
    }

    @Test(
        arguments: [
            [], [0x30], [0x30, 0x00], [0x30, 0x80], [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], [0x00, 0x00],
            [UInt8](repeating: 0x30, count: 1000), [UInt8](repeating: 0xFF, count: 1000), Array("testHash".utf8),
        ] as [[UInt8]])
    func `what is no certificate has nothing to tell`(bytes: [UInt8]) {
        #expect(Certificate(der: bytes) == nil)
    }

    @Test func `no beginning of a certificate is one`() throws {
        let bytes = try der()
        for length in bytes.indices { #expect(Certificate(der: Array(bytes[..<length])) == nil) }
    }

    @Test func `a damaged certificate is never a trap`() throws {
        let bytes = try der()
        var read = 0
        for place in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[place] ^= 1 << UInt8(bit)
                if let certificate = Certificate(der: damaged) {
                    read += 1
                    #expect(certificate.subject.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F })
                }
            }
        }
        #expect(read > 0 && read < bytes.count * 8)
    }
}
