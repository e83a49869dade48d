internal import Crypto
internal import JSON
internal import Provisioning
internal import TestSupport
internal import Testing

@Suite("Decisions")
struct DecisionTests {
    let devices = Devices()

    @Test func `an unknown device is created with all that belongs to it`() throws {
        let decision = try devices.provision("D1", profile())
        let device = try #require(decision.device)
        #expect(decision.change?.id == device.id)
        #expect(device.id.utf8.count == 36)
        #expect(device.name == "D1")
        #expect(device.profile == "profile-id")
        #expect(device.createdTime == 1234)
        #expect(device.credentials.type == .accessToken)
        #expect(device.credentials.id.utf8.count == 20)
        #expect(device.credentials.value == nil)
        #expect(device.attributes.members == [.init(name: "provisionState", value: .text("provisioned"))])
        #expect(device.provisioned == Device.Provisioned(seq: nil, via: "http", source: .hub))
        #expect(!device.isGateway)
        #expect(!decision.madeUpName)
    }

    @Test func `a device without a name gets one of 20 letters and digits, each time another`() throws {
        var names: Set<Text> = []
        for members in ["", #","deviceName":null"#, #","deviceName":"""#] {
            let decision = devices.provision(try request(nil, members), profile())
            #expect(decision.madeUpName)
            let name = try #require(decision.device?.name)
            #expect(name.utf8.count == 20)
            names.insert(name)
        }
        #expect(names.count == 3)
    }

    @Test(arguments: [
        ("key", "secret", ProvisionStrategy.allowCreateNewDevices, "SUCCESS"),
        ("key", "Secret", .allowCreateNewDevices, "NOT_FOUND"), ("key", "secret ", .allowCreateNewDevices, "NOT_FOUND"),
        ("key", "", .allowCreateNewDevices, "NOT_FOUND"), ("", "secret", .allowCreateNewDevices, "NOT_FOUND"),
        ("key", "secret", .disabled, "NOT_FOUND"), ("key", "wrong", .disabled, "NOT_FOUND"),
        ("key", "secret", .checkPreProvisionedDevices, "NOT_PREPROVISIONED"),
        ("key", "wrong", .checkPreProvisionedDevices, "NOT_FOUND"),
    ])
    func `key, secret and strategy decide first`(
        key: String, secret: String, strategy: ProvisionStrategy, word: String
    ) throws {
        let decision = try devices.provision("D1", profile(strategy), key: key, secret: secret)
        #expect(decision.word == word)
        #expect((decision.change != nil) == (word == "SUCCESS"))
        #expect((decision.profile == nil) == (word == "NOT_FOUND"))
    }

    @Test func `an unknown key, a wrong secret and a disabled profile get the same bytes`() throws {
        let answers = [
            try devices.provision("D1", nil), try devices.provision("D1", profile(), secret: "wrong"),
            try devices.provision("D1", profile(.disabled)), try devices.provision("D1", profile(secret: nil)),
            try devices.provision("D1", profile(secret: ""), secret: ""),
            try devices.provision(nil, profile { $0.secretMode = .derived }),
        ].map { $0.answer() }
        #expect(Set(answers).count == 1)
    }

    @Test func `no device is looked up before the secret is right`() throws {
        devices.register("D1")
        _ = try devices.provision("D1", profile(), secret: "wrong")
        _ = try devices.provision("D1", profile(.checkPreProvisionedDevices), secret: "wrong")
        _ = try devices.provision("D1", profile(.disabled))
        _ = try devices.provision("D1", nil)
        #expect(devices.lookups == 0)
    }

    @Test(arguments: [nil, "key"]) func `a name of blanks is refused before the key is looked at`(key: String?) throws {
        for name in [" ", #"\t \n"#, #"\u0001"#] {
            let decision = try devices.provision(name, key == nil ? nil : profile())
            #expect(decision.word == "NAME_INVALID")
            #expect(decision.profile == nil)
        }
    }

    @Test func `a name that an operator or another profile has is taken`() throws {
        devices.register("D1")
        devices.register("D2", token: "t2", profile: "another")
        for name in ["D1", "D2", " D1 "] {
            #expect(try devices.provision(name, profile()).word == "NAME_TAKEN")
            #expect(try devices.provision(name, #","token":"registered""#, profile()).word == "NAME_TAKEN")
        }
        #expect(try devices.provision("d1", profile()).word == "SUCCESS")
    }

    @Test func `a credentials id that any device has, of whatever type and profile, is taken`() throws {
        devices.register("D1", token: "same", profile: "another")
        #expect(try devices.provision("D2", #","token":"same""#, profile()).word == "CREDENTIALS_TAKEN")
        let basic = #","credentialsType":"MQTT_BASIC","username":"same""#
        #expect(try devices.provision("D2", basic, profile()).word == "CREDENTIALS_TAKEN")
        #expect(devices.all.count == 1)
        #expect(try devices.provision("D2", #","token":"other""#, profile()).word == "SUCCESS")
    }

    @Test func `a profile has no more devices than it may`() throws {
        let profile = profile { $0.maxDevices = 2 }
        devices.register("X", token: "x", profile: "another")
        #expect(try devices.provision("D1", profile).word == "SUCCESS")
        #expect(try devices.provision(nil, profile).word == "SUCCESS")
        #expect(try devices.provision("D3", profile).word == "QUOTA")
        #expect(try devices.provision("D1", profile).word == "SUCCESS", "a repeat needs no room")
        #expect(devices.all.count == 3)
    }

    @Test(arguments: [
        ("true", true, true), (#""TRUE""#, true, true), (#""true""#, true, true), ("true", false, false),
        ("false", true, false), ("1", true, false), (#""yes""#, true, false), ("null", true, false),
        ("1.5", true, false),
    ])
    func `a device is a gateway if it says so and the profile allows it`(
        flag: String, isAllowed: Bool, isGateway: Bool
    ) throws {
        let decision = try devices.provision("D1", ",\"gateway\":\(flag)", profile { $0.allowGateway = isAllowed })
        #expect(try #require(decision.device).isGateway == isGateway)
    }

    @Test func `a registered device gets the credentials that it has, whatever it brings`() throws {
        let device = devices.register("D1", token: "t1")
        let members = #","credentialsType":"MQTT_BASIC","username":"u","token":"other""#
        let decision = try devices.provision(" D1", members, profile(.checkPreProvisionedDevices))
        #expect(decision.word == "SUCCESS")
        #expect(decision.device?.credentials == device.credentials)
        #expect(decision.change?.attributes["provisionState"] == .text("provisioned"))
        #expect(decision.change?.provisioned == Device.Provisioned(via: "http", source: .operator))
        #expect(decision.change?.id == device.id)
    }

    @Test(
        arguments: [
            (nil, "SUCCESS"), (.null, "SUCCESS"), (.text("provisioned"), "ALREADY_PROVISIONED"),
            (.text("Provisioned"), "NOT_PREPROVISIONED"), (.text(""), "NOT_PREPROVISIONED"),
            (.bool(true), "NOT_PREPROVISIONED"), (.integer(1), "NOT_PREPROVISIONED"),
        ] as [(JSONValue?, String)])
    func `the state of a registered device decides`(state: JSONValue?, word: String) throws {
        devices.register("D1", state: state)
        #expect(try devices.provision("D1", profile(.checkPreProvisionedDevices)).word == word)
    }

    @Test func `a device that is not registered, of another profile or without a name is refused`() throws {
        devices.register("D2", profile: "another")
        for name in ["D1", "D2", nil] {
            let decision = try devices.provision(name, profile(.checkPreProvisionedDevices))
            #expect(decision.word == "NOT_PREPROVISIONED")
            #expect(decision.change == nil)
        }
    }

    @Test func `what a directory cannot read ends the decision`() throws {
        struct Unreadable: Error {}
        struct Broken: DeviceDirectory {
            func device(named name: Text) throws(Unreadable) -> Device? { throw Unreadable() }
            func device(holding credentialsId: Text) throws(Unreadable) -> Device? { throw Unreadable() }
            func deviceCount(of profile: DeviceProfile) -> UInt32 { 0 }
            func secondsSinceProvisioning(_ device: Device) -> UInt64? { nil }
        }
        var random = SeededNumbers(state: 1)
        for members in ["", #","token":"t""#] {
            for name in ["D1", nil] where name != nil || !members.isEmpty {
                let request = try request(name, members)
                #expect(throws: Unreadable.self) {
                    try request.decide(profile: profile(), directory: Broken(), via: "http", now: 0, random: &random)
                }
            }
        }
    }
}
