internal import Crypto
internal import TestSupport
internal import Testing

@Suite("Hashes and codes")
struct DigestTests {
    @Test(arguments: [
        ("ThingsBoard", "281c7ba06d0ac2ff651fa968572f26a38c96225ea54644522837b54b9c6144f7"),
        ("test_clientId|test_username", "b9f1b0bf238dddae689babba0a210fe42bc97ddb07620b5a07d7208dd5528db2"),
        ("test_clientId", "3eabb72fa0908cae833970e2d63c52fc584b5460205da426d34f6934efa40497"),
        ("testHash", "57f6600424d6553263f1f32e0117012894a36fbf07e3e9c3c556272f86b7d985"),
        ("MIIBAAAA", "5ef5c43d5106429e4b4f4c0d543e8e4cdaada96fa210e208a35526be302b40e5"),
        ("", "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
    ])
    func `SHA3-256 is ThingsBoard's`(text: String, digest: String) {
        #expect(Digest.sha3Hex(Array(text.utf8)) == Array(digest.utf8))
    }

    @Test(
        arguments: [
            (
                [UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xAA, count: 20), [UInt8](repeating: 0xDD, count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
            (
                Array(1...25), [UInt8](repeating: 0xCD, count: 50),
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
            ),
            (
                [UInt8](repeating: 0xAA, count: 131),
                Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
            (
                [UInt8](repeating: 0xAA, count: 131),
                Array(
                    ("This is a test using a larger than block-size key and a larger than block-size data. "
                        + "The key needs to be hashed before being used by the HMAC algorithm.").utf8),
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
            ),
            ([], [], "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
        ] as [([UInt8], [UInt8], String)])
    func `HMAC-SHA256 is that of RFC 4231`(key: [UInt8], message: [UInt8], code: String) {
        #expect(hex(Digest.hmac(key: key, message: message)) == code)
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

@Suite("Base64")
struct Base64Tests {
    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
        ("foobar", "Zm9vYmFy"),
    ])
    func `the vectors of RFC 4648, for URLs and back`(text: String, encoded: String) {
        #expect(Base64.encodeURL(Array(text.utf8)) == Array(encoded.utf8))
        let padded = encoded + String(repeating: "=", count: (4 - encoded.count % 4) % 4)
        if !text.isEmpty { #expect(Base64.decode(Array(padded.utf8)) == Array(text.utf8)) }
    }

    @Test func `the alphabet of URLs has - and _`() {
        #expect(Base64.encodeURL([0xFB, 0xFF, 0xBF]) == Array("-_-_".utf8))
        #expect(Base64.decode(Array("+/+/".utf8)) == [0xFB, 0xFF, 0xBF])
        #expect(Base64.decode(Array("-_-_".utf8)) == nil)
    }

    @Test(arguments: [
        "", "=", "==", "===", "====", "========", "A", "AA", "AAA", "AAAAA", "A===", "=AAA", "A=AA", "AA=A", "AA==AAAA",
        "    ", "\n\n\n\n", "AAAA    ", "    AAAA", "AA==    ", "AA AA AA", "AAAA\nAAA", "AAA\n", "AAA\0", "AAAÄ",
        "AAA-",
        "!!!!", "\u{0}\u{0}\u{0}\u{0}",
    ])
    func `anything else is refused and never a trap`(text: String) {
        #expect(Base64.decode(Array(text.utf8)) == nil)
    }

    @Test func `random bytes come back as they went`() {
        var random = SeededNumbers(state: 3)
        for length in 0..<300 {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            let encoded = Base64.encodeURL(bytes)
            #expect(encoded.count == (length * 4 + 2) / 3)
            let usual = encoded.map {
                $0 == UInt8(ascii: "-") ? UInt8(ascii: "+") : $0 == UInt8(ascii: "_") ? UInt8(ascii: "/") : $0
            }
            let padding = [UInt8](repeating: UInt8(ascii: "="), count: (4 - encoded.count % 4) % 4)
            if length > 0 { #expect(Base64.decode(usual + padding) == bytes) }
        }
    }

    @Test func `random text is never a trap, and what is read has the length that it says`() {
        var random = SeededNumbers(state: 4)
        let alphabet = Array("AZaz09+/=== \n".utf8)
        var read = 0
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0..<13, using: &random)).map { _ in
                alphabet.randomElement(using: &random) ?? 0
            }
            guard let bytes = Base64.decode(text) else { continue }
            read += 1
            #expect(bytes.count == text.count / 4 * 3 - text.count { $0 == UInt8(ascii: "=") })
        }
        #expect(read > 100)
    }
}
