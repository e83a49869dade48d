internal import JSON
internal import Provisioning
internal import TestSupport
internal import Testing

@Suite("Damaged requests")
struct FuzzTests {
    private let whole = [
        #"{"deviceName":"D1","provisionDeviceKey":"key","provisionDeviceSecret":"secret"}"#,
        #"{"deviceName":"é😀","provisionDeviceKey":"key","provisionDeviceSecret":"secret","credentialsType":"MQTT_BASIC","clientId":"c","username":"u","password":"p"}"#,
        #"{"deviceName":null,"provisionDeviceKey":"key","provisionDeviceSecret":"secret","token":"abc","gateway":true}"#,
        #"{"provisionDeviceKey":"key","provisionDeviceSecret":"secret","credentialsType":"X509_CERTIFICATE","hash":"-----BEGIN CERTIFICATE-----\nMIIB\\nAAAA\r\n-----END CERTIFICATE-----\n"}"#,
    ].map { Array($0.utf8) }
    private let pieces = [
        "\"", "\\", "{", "}", "[", "]", ",", ":", "null", "true", "1e999", "\\u0000", "\\ud800", "{{", "}}", "<b>",
        "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "PRIVATE KEY", "\u{0}", "\u{2028}", "-",
        "9223372036854775808",
    ].map { Array($0.utf8) }

    @Test func `every request is answered, and every answer is JSON of the contract`() throws {
        var random = SeededNumbers(state: 2026)
        let profiles = [
            profile { $0.maxDevices = 50 }, profile(.checkPreProvisionedDevices), profile(.disabled),
            profile { $0.secretMode = .either },
        ]
        let devices = Devices()
        var counts: [String: Int] = [:]
        for _ in 0..<12_000 {
            let bytes = damaged(&random)
            let answer: ProvisionAnswer
            do throws(MalformedRequest) {
                let decision = devices.provision(try ProvisionRequest(bytes), profiles.randomElement(using: &random))
                answer = ProvisionAnswer(decision.outcome, legacyFields: Bool.random(using: &random))
                counts[decision.word, default: 0] += 1
            } catch {
                answer = ProvisionAnswer(error, legacyFields: Bool.random(using: &random))
                counts["MALFORMED", default: 0] += 1
            }
            let json = try JSONValue.parse(answer.bytes(maximumBytes: 256, maximumMembers: 8))
            let status = try #require(json["status"]?.text)
            #expect(["SUCCESS", "NOT_FOUND", "FAILURE"].contains(status))
            #expect((json["errorMsg"] == nil) == (status == "SUCCESS"))
        }
        // The damage is such that every way through is taken.
        for word in ["SUCCESS", "NOT_FOUND", "MALFORMED", "QUOTA", "NOT_PREPROVISIONED", "CREDENTIALS_INVALID"] {
            #expect(counts[word, default: 0] > 0, "\(word)")
        }
    }

    private func damaged(_ random: inout SeededNumbers) -> [UInt8] {
        var bytes = whole.randomElement(using: &random) ?? []
        for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: place)
            case 2: bytes.insert(contentsOf: pieces.randomElement(using: &random) ?? [], at: place)
            case 3: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 0..<9, using: &random)))
            default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 20)], at: place)
            }
        }
        return bytes
    }
}
