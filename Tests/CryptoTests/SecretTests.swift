internal import Crypto
internal import TestSupport
internal import Testing

@Suite("Secrets")
struct SecretTests {
    @Test func `a secret never shows itself`() {
        struct Holder {
            let name = "holder"
            let secret: Secret
        }
        let bytes = Array("correct horse".utf8)
        let secret = Secret(bytes)
        var texts = [
            secret.description, "\(secret)", String(reflecting: secret), String(describing: Optional(secret)),
            "\([secret])", String(reflecting: [secret]), "\(Holder(secret: secret))",
            String(reflecting: Holder(secret: secret)), "\(["key": secret])",
        ]
        for value in [secret, Holder(secret: secret), [secret], Optional(secret) as Any] as [Any] {
            var dumped = ""
            dump(value, to: &dumped)
            texts.append(dumped)
            texts.append("\(Mirror(reflecting: value).children.map { "\($0)" })")
        }
        for text in texts {
            #expect(!text.contains("correct") && !text.contains("99, 111") && !text.contains("\(bytes)"), "\(text)")
        }
        #expect(secret.description == "***")
        #expect(Mirror(reflecting: secret).children.isEmpty)
    }

    @Test func `only the very same bytes match`() {
        let secret = Secret(Array("secret".utf8))
        #expect(secret.matches(Array("secret".utf8)))
        for other in ["", "secre", "secret ", "Secret", "secreu", "secretsecret", "secret\0"] {
            #expect(!secret.matches(Array(other.utf8)))
        }
        #expect(Secret([]).matches([]))
        #expect(!Secret([]).matches([0]))
        #expect(secret.exposed == Array("secret".utf8))
    }
}

@Suite("Random names and ids")
struct RandomTests {
    @Test func `alphanumerics have the length asked for and every letter and digit`() {
        var random = SystemRandom()
        for count in [0, 1, 9, 10, 11, 20, 100] { #expect(random.alphanumerics(count).count == count) }
        let characters = random.alphanumerics(20_000)
        let alphabet = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
        #expect(Set(characters) == alphabet)
    }

    @Test func `alphanumerics are evenly distributed`() {
        var random = SeededNumbers(state: 11)
        var counts: [UInt8: Int] = [:]
        for character in random.alphanumerics(62_000) { counts[character, default: 0] += 1 }
        #expect(counts.values.allSatisfy { (850...1150).contains($0) })
    }

    @Test func `UUIDs are of version 4 and differ`() {
        var random = SystemRandom()
        var seen: Set<[UInt8]> = []
        for _ in 0..<1000 {
            let uuid = random.uuid()
            #expect(uuid.count == 36)
            for (index, character) in uuid.enumerated() {
                switch index {
                case 8, 13, 18, 23: #expect(character == UInt8(ascii: "-"))
                case 14: #expect(character == UInt8(ascii: "4"))
                case 19: #expect("89ab".utf8.contains(character))
                default: #expect("0123456789abcdef".utf8.contains(character))
                }
            }
            seen.insert(uuid)
        }
        #expect(seen.count == 1000)
    }

    @Test func `a UUID is made of the generator's bits`() {
        struct Fixed: RandomNumberGenerator {
            var numbers: [UInt64]
            mutating func next() -> UInt64 { numbers.removeFirst() }
        }
        var ones = Fixed(numbers: [.max, .max])
        #expect(String(decoding: ones.uuid(), as: UTF8.self) == "ffffffff-ffff-4fff-bfff-ffffffffffff")
        var zeros = Fixed(numbers: [0, 0])
        #expect(String(decoding: zeros.uuid(), as: UTF8.self) == "00000000-0000-4000-8000-000000000000")
        var mixed = Fixed(numbers: [0x0123_4567_89AB_CDEF, 0x0123_4567_89AB_CDEF])
        #expect(String(decoding: mixed.uuid(), as: UTF8.self) == "01234567-89ab-4def-8123-456789abcdef")
    }

    @Test func `numbers of the kernel do not repeat, past the end of a pool too`() {
        var random = SystemRandom()
        #expect(Set((0..<2000).map { _ in random.next() }).count == 2000)
    }
}
