internal import JSON
internal import Provisioning
internal import Testing

/// How a repeat comes and what it gets.
struct Repeat: Sendable, CustomTestStringConvertible {
    /// The profile's window.
    let window: RepeatWindow
    /// Seconds since the device was provisioned; nil when that is so long ago that nobody knows.
    let age: UInt64?
    /// Members of the first request and of the repeat.
    let first: String
    let second: String
    /// What it gets.
    let word: String

    init(_ window: RepeatWindow, _ age: UInt64?, _ first: String, _ second: String, _ word: String) {
        self.window = window
        self.age = age
        self.first = first
        self.second = second
        self.word = word
    }

    var testDescription: String { "\(window), \(age.map(String.init) ?? "unknown"): \(first) then \(second)" }
}

private let none = ""
private let token = #","token":"t""#
private let other = #","token":"u""#
private let basic = #","credentialsType":"MQTT_BASIC","clientId":"c","username":"n","password":"p""#
private let basicOther = #","credentialsType":"MQTT_BASIC","clientId":"c","username":"n","password":"q""#
private let asToken = #","token":"n""#
private let userOnly = #","credentialsType":"MQTT_BASIC","username":"n""#
private let unusable = #","credentialsType":"MQTT_BASIC","token":"x""#
private let again = "ALREADY_PROVISIONED"

@Suite("Repeated requests")
struct RepeatTests {
    @Test(arguments: [
        // The hub made the credentials, the repeat brings none: within the window.
        Repeat(.seconds(600), 0, none, none, "SUCCESS"), Repeat(.seconds(600), 599, none, none, "SUCCESS"),
        Repeat(.seconds(600), 600, none, none, again), Repeat(.seconds(600), nil, none, none, again),
        Repeat(.seconds(1), 0, none, none, "SUCCESS"), Repeat(.seconds(1), 1, none, none, again),
        Repeat(.forever, 1_000_000, none, none, "SUCCESS"), Repeat(.forever, nil, none, none, "SUCCESS"),
        // Window 0 is ThingsBoard's rule: no repeat at all.
        Repeat(.seconds(0), 0, none, none, again), Repeat(.seconds(0), nil, none, none, again),
        Repeat(.seconds(0), 0, token, token, again),
        // The device made them and brings them again: that proves it, also outside the window.
        Repeat(.seconds(600), 0, token, token, "SUCCESS"), Repeat(.seconds(600), 600, token, token, "SUCCESS"),
        Repeat(.seconds(600), nil, token, token, "SUCCESS"), Repeat(.seconds(600), nil, basic, basic, "SUCCESS"),
        // The device made them and brings none, or others: no proof.
        Repeat(.seconds(600), 0, token, none, again), Repeat(.forever, 0, token, none, again),
        Repeat(.seconds(600), 0, token, other, again), Repeat(.forever, 0, token, other, again),
        Repeat(.seconds(600), 0, basic, basicOther, again), Repeat(.seconds(600), 0, basic, token, again),
        Repeat(.seconds(600), 0, userOnly, asToken, again), Repeat(.seconds(600), 0, none, token, again),
        Repeat(.forever, nil, none, other, again), Repeat(.seconds(600), 0, none, unusable, again),
        Repeat(.seconds(600), 0, token, unusable, again),
    ])
    func `a device that asks again gets the same if it may`(repeated: Repeat) throws {
        let devices = Devices()
        let profile = profile { $0.repeatWindow = repeated.window }
        let first = try devices.provision("D1", repeated.first, profile)
        #expect(first.word == "SUCCESS")
        devices.clock += repeated.age ?? 0
        if repeated.age == nil { devices.provisionedAt = [:] }
        let second = try devices.provision("D1", repeated.second, profile)
        #expect(second.word == repeated.word)
        #expect(second.change == nil)
        #expect(devices.all.count == 1)
        if second.word == "SUCCESS" { #expect(second.answer() == first.answer()) }
    }

    @Test(arguments: [
        Repeat(.seconds(600), 0, none, none, "SUCCESS"), Repeat(.seconds(600), 599, none, none, "SUCCESS"),
        Repeat(.seconds(600), 600, none, none, again), Repeat(.seconds(600), nil, none, none, again),
        Repeat(.seconds(0), 0, none, none, again), Repeat(.seconds(0), 0, none, #","token":"registered""#, again),
        Repeat(.forever, nil, none, none, "SUCCESS"),
        // Wrong credentials are ignored for a registered device, right ones prove it.
        Repeat(.seconds(600), 0, none, other, "SUCCESS"), Repeat(.seconds(600), 600, none, other, again),
        Repeat(.seconds(600), nil, none, #","token":"registered""#, "SUCCESS"),
        Repeat(.seconds(600), nil, none, unusable, again),
    ])
    func `a registered device that asks again gets the same if it may`(repeated: Repeat) throws {
        let devices = Devices()
        devices.register("D1")
        let profile = profile(.checkPreProvisionedDevices) { $0.repeatWindow = repeated.window }
        let first = try devices.provision("D1", repeated.first, profile)
        #expect(first.word == "SUCCESS")
        devices.clock += repeated.age ?? 0
        if repeated.age == nil { devices.provisionedAt = [:] }
        let second = try devices.provision("D1", repeated.second, profile)
        #expect(second.word == repeated.word)
        #expect(second.change == nil)
        if second.word == "SUCCESS" { #expect(second.answer() == first.answer()) }
    }

    @Test func `a repeat counts from the first success and does not lengthen the window`() throws {
        let devices = Devices()
        let profile = profile()
        _ = try devices.provision("D1", profile)
        devices.clock += 400
        #expect(try devices.provision("D1", profile).word == "SUCCESS")
        devices.clock += 200
        #expect(try devices.provision("D1", profile).word == again)
    }

    @Test func `a certificate is proof in whatever shape it comes`() throws {
        let devices = Devices()
        let x509 = #","credentialsType":"X509_CERTIFICATE","hash":"#
        _ = try devices.provision("D1", x509 + #""MIIBAAAA""#, profile())
        devices.provisionedAt = [:]
        let pem = #""-----BEGIN CERTIFICATE-----\r\nMIIB\r\nAAAA\r\n-----END CERTIFICATE-----\r\n""#
        #expect(try devices.provision("D1", x509 + pem, profile()).word == "SUCCESS")
        #expect(try devices.provision("D1", x509 + #""MIIBAAAB""#, profile()).word == again)
    }

    @Test func `nothing else of a repeat matters`() throws {
        let devices = Devices()
        let profile = profile { $0.allowGateway = true }
        let first = try devices.provision("D1", profile)
        let second = try devices.provision(" D1 ", #","gateway":true,"credentialsType":"MQTT_BASIC","x":[1]"#, profile)
        #expect(second.answer() == first.answer())
        #expect(second.device?.isGateway == false)
    }

    @Test func `a request without a name always makes a new device`() throws {
        let devices = Devices()
        #expect(try devices.provision(nil, profile()).answer() != devices.provision(nil, profile()).answer())
        #expect(devices.all.count == 2)
    }
}

@Suite("Derived secrets")
struct DerivedSecretTests {
    /// HMAC-SHA256("secret", "nearhub-device-v1" NUL "D1"), from another program than this one.
    private let derived = "zZjERyeWcxV0rLr1fjk2bcSpFEvwTQa9syUNpt0KpRk"

    @Test func `the secret of a device is these bytes`() {
        #expect(profile().derivedSecret(deviceName: "D1").map { String(decoding: $0, as: UTF8.self) } == derived)
        #expect(profile(secret: nil).derivedSecret(deviceName: "D1") == nil)
    }

    @Test(
        arguments: [
            (SecretMode.shared, "D1", "secret", "SUCCESS"), (.shared, "D1", "derived", "NOT_FOUND"),
            (.shared, nil, "secret", "SUCCESS"), (.shared, nil, "derived", "NOT_FOUND"),
            (.derived, "D1", "secret", "NOT_FOUND"), (.derived, "D1", "derived", "SUCCESS"),
            (.derived, " D1 ", "derived", "SUCCESS"), (.derived, "D2", "derived", "NOT_FOUND"),
            (.derived, nil, "secret", "NOT_FOUND"), (.derived, nil, "derived", "NOT_FOUND"),
            (.derived, nil, "nameless", "NOT_FOUND"), (.derived, "D1", "wrong", "NOT_FOUND"),
            (.either, "D1", "secret", "SUCCESS"), (.either, "D1", "derived", "SUCCESS"),
            (.either, nil, "secret", "SUCCESS"),
            (.either, nil, "derived", "NOT_FOUND"), (.either, nil, "nameless", "NOT_FOUND"),
            (.either, "D2", "derived", "NOT_FOUND"), (.either, "D1", "wrong", "NOT_FOUND"),
        ] as [(SecretMode, String?, String, String)])
    func `which secret is right`(mode: SecretMode, name: String?, secret: String, word: String) throws {
        let profile = profile { $0.secretMode = mode }
        let sent =
            switch secret {
            case "derived": derived
            case "nameless": profile.derivedSecret(deviceName: "").map { String(decoding: $0, as: UTF8.self) } ?? ""
            default: secret
            }
        #expect(try Devices().provision(name, profile, secret: sent).word == word)
    }

    @Test(arguments: [
        (RepeatWindow.seconds(600), none, none, "SUCCESS"), (.seconds(600), token, none, "SUCCESS"),
        (.seconds(600), token, other, again), (.seconds(600), token, token, "SUCCESS"),
        (.seconds(0), none, none, again),
    ])
    func `it proves the device, so that repeats need no window`(
        window: RepeatWindow, first: String, second: String, word: String
    ) throws {
        for mode in [SecretMode.derived, .either] {
            let devices = Devices()
            let profile = profile {
                $0.secretMode = mode
                $0.repeatWindow = window
            }
            #expect(try devices.provision("D1", first, profile, secret: derived).word == "SUCCESS")
            devices.provisionedAt = [:]
            #expect(try devices.provision("D1", second, profile, secret: derived).word == word)
        }
    }
}
