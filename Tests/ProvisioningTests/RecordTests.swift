internal import Crypto
internal import JSON
internal import Provisioning
internal import Testing

private func json(_ text: String) throws -> JSONValue { try JSONValue.parse(Array(text.utf8)) }

private func written(_ profile: DeviceProfile) -> String {
    var json = JSONWriter()
    profile.write(to: &json)
    return String(decoding: json.bytes, as: UTF8.self)
}

private func written(_ device: Device) -> String {
    var json = JSONWriter()
    device.write(to: &json)
    return String(decoding: json.bytes, as: UTF8.self)
}

/// Why a record is refused; nil when it is taken.
private func refusal(_ body: () throws(InvalidRecord) -> Void) -> String? {
    do throws(InvalidRecord) {
        try body()
        return nil
    } catch { return error.description }
}

@Suite("Profiles as JSON")
struct ProfileRecordTests {
    @Test func `a profile is written as ThingsBoard's REST API does, with one member more`() {
        let expected =
            #"{"id":{"entityType":"DEVICE_PROFILE","id":"profile-id"},"createdTime":1,"name":"P","description":null,"#
            + #""type":"DEFAULT","transportType":"DEFAULT","provisionType":"ALLOW_CREATE_NEW_DEVICES","#
            + #""provisionDeviceKey":"key","profileData":{"configuration":{"type":"DEFAULT"},"#
            + #""transportConfiguration":{"type":"DEFAULT"},"provisionConfiguration":{"type":"ALLOW_CREATE_NEW_DEVICES","#
            + #""provisionDeviceSecret":"secret"}},"nearhub":{"repeatWindow":600,"secretMode":"shared","#
            + #""legacyFields":true,"allowGateway":false,"maxDevices":10000}}"#
        #expect(written(profile()) == expected)
    }

    @Test(arguments: ProvisionStrategy.allCases, SecretMode.allCases)
    func `what was written comes back`(strategy: ProvisionStrategy, mode: SecretMode) throws {
        for window in [RepeatWindow.seconds(0), .seconds(RepeatWindow.maximumSeconds), .forever] {
            let plain = profile(strategy, secret: mode == .either ? nil : "se\"cret\u{2028}") {
                $0.repeatWindow = window
                $0.secretMode = mode
                $0.legacyFields = window == .forever
                $0.allowGateway = window != .forever
                $0.maxDevices = .max
            }
            let profile = DeviceProfile(
                id: plain.id, name: plain.name, createdTime: plain.createdTime,
                description: mode == .shared ? nil : "für <Leute>", strategy: strategy,
                provisionKey: mode == .derived ? nil : "k/e\\y", provisionSecret: plain.provisionSecret,
                settings: plain.settings)
            let again = try DeviceProfile(try json(written(profile)))
            #expect(written(again) == written(profile))
            #expect(again.settings == profile.settings)
            #expect(again.strategy == strategy)
        }
    }

    @Test func `what an administrator leaves out has its default`() throws {
        let profile = try DeviceProfile(try json(#"{"name":"P"}"#), id: "i", createdTime: 7)
        #expect(profile.strategy == .disabled)
        #expect(profile.provisionKey == nil)
        #expect(profile.provisionSecret == nil)
        #expect(profile.description == nil)
        #expect(profile.createdTime == 7)
        #expect(profile.settings == ProfileSettings())
    }

    @Test(arguments: [
        ("{}", "Device profile name should be specified!"),
        (#"{"name":""}"#, "Device profile name should be specified!"),
        (#"{"name":7}"#, "Device profile name should be specified!"),
        (
            #"{"name":"P","provisionType":"X509_CERTIFICATE_CHAIN"}"#,
            "provisionType must be one of DISABLED, ALLOW_CREATE_NEW_DEVICES, CHECK_PRE_PROVISIONED_DEVICES"
        ),
        (#"{"name":"P","provisionType":1}"#, "provisionType must be text"),
        (#"{"name":"P","provisionDeviceKey":["Xq7"]}"#, "provisionDeviceKey must be text"),
        (#"{"name":"P","description":{}}"#, "description must be text"),
        (
            #"{"name":"P","profileData":{"provisionConfiguration":{"provisionDeviceSecret":5}}}"#,
            "provisionDeviceSecret must be text"
        ),
        (
            #"{"name":"P","provisionType":"DISABLED","profileData":{"provisionConfiguration":{"type":"ALLOW_CREATE_NEW_DEVICES"}}}"#,
            "provisionType and provisionConfiguration.type differ"
        ),
        (#"{"name":"P","nearhub":[]}"#, "nearhub must be an object"),
        (#"{"name":"P","nearhub":{"repeat-window":5}}"#, "unknown setting in nearhub"),
        (#"{"name":"P","nearhub":{"Xq7":"Xq7"}}"#, "unknown setting in nearhub"),
        (
            #"{"name":"P","nearhub":{"repeatWindow":-1}}"#,
            "nearhub.repeatWindow must be 0 to 31622400 seconds, or forever"
        ),
        (
            #"{"name":"P","nearhub":{"repeatWindow":31622401}}"#,
            "nearhub.repeatWindow must be 0 to 31622400 seconds, or forever"
        ),
        (
            #"{"name":"P","nearhub":{"repeatWindow":"Xq7"}}"#,
            "nearhub.repeatWindow must be 0 to 31622400 seconds, or forever"
        ),
        (
            #"{"name":"P","nearhub":{"repeatWindow":null}}"#,
            "nearhub.repeatWindow must be 0 to 31622400 seconds, or forever"
        ),
        (#"{"name":"P","nearhub":{"secretMode":"Xq7"}}"#, "nearhub.secretMode must be shared, derived or either"),
        (#"{"name":"P","nearhub":{"legacyFields":"on"}}"#, "nearhub.legacyFields must be true or false"),
        (#"{"name":"P","nearhub":{"allowGateway":1}}"#, "nearhub.allowGateway must be true or false"),
        (#"{"name":"P","nearhub":{"maxDevices":0}}"#, "nearhub.maxDevices must be a number from 1 to 4294967295"),
        (
            #"{"name":"P","nearhub":{"maxDevices":4294967296}}"#,
            "nearhub.maxDevices must be a number from 1 to 4294967295"
        ),
    ])
    func `a refusal names the member and the rule, never the value`(body: String, why: String) throws {
        let json = try json(body)
        #expect(refusal { () throws(InvalidRecord) in _ = try DeviceProfile(json, id: "i", createdTime: 0) } == why)
        #expect(!why.contains("Xq7"))
    }

    @Test func `a record without id is refused`() throws {
        let json = try json(#"{"name":"P"}"#)
        #expect(refusal { () throws(InvalidRecord) in _ = try DeviceProfile(json) } == "profile without id")
    }
}

@Suite("Devices as JSON")
struct DeviceRecordTests {
    @Test func `a plain device has no member more than it needs`() {
        let device = Device(
            id: "i", name: "D1", profile: "p", createdTime: 5, credentials: Credentials(type: .accessToken, id: "t"))
        #expect(
            written(device)
                == #"{"id":"i","name":"D1","profile":"p","createdTime":5,"credentials":{"type":"ACCESS_TOKEN","id":"t"},"attributes":{}}"#
        )
    }

    @Test func `a device with everything comes back`() throws {
        let text =
            #"{"id":"i","name":"D\"1","profile":"p","label":"L","createdTime":5,"credentials":{"type":"MQTT_BASIC","id":"u","#
            + #""value":"{\"clientId\":\"\"}"},"attributes":{"provisionState":"provisioned","x":[1,{"y":null}]},"#
            + #""gateway":true,"provisioned":{"seq":9,"via":"http","credentials":"operator"}}"#
        let device = try Device(try json(text), seq: 12)
        #expect(written(device) == text)
        #expect(device.provisioned?.seq == 9)
        #expect(device.provisioned?.source == .operator)
    }

    @Test func `the line that first says that a device was provisioned is its seq`() throws {
        let text =
            #"{"id":"i","name":"D1","profile":"p","createdTime":5,"credentials":{"type":"ACCESS_TOKEN","id":"t"},"#
            + #""attributes":{},"provisioned":{"via":"http","credentials":"hub"}}"#
        #expect(try Device(try json(text), seq: 12).provisioned?.seq == 12)
    }

    @Test(arguments: [
        ("{}", "device without id, name and profile"),
        (#"{"id":"i","name":"Xq7"}"#, "device without id, name and profile"),
        (#"{"id":"i","name":"n","profile":"p"}"#, "device without credentials of a known type"),
        (
            #"{"id":"i","name":"n","profile":"p","credentials":{"type":"Xq7","id":"Xq7"}}"#,
            "device without credentials of a known type"
        ),
        (
            #"{"id":"i","name":"n","profile":"p","credentials":{"type":"ACCESS_TOKEN"}}"#,
            "device without credentials of a known type"
        ),
        (
            #"{"id":"i","name":"n","profile":"p","credentials":{"type":"ACCESS_TOKEN","id":"Xq7","value":7}}"#,
            "credentials.value must be text"
        ),
        (
            #"{"id":"i","name":"n","profile":"p","label":7,"credentials":{"type":"ACCESS_TOKEN","id":"Xq7"}}"#,
            "label must be text"
        ),
        (
            #"{"id":"i","name":"n","profile":"p","credentials":{"type":"ACCESS_TOKEN","id":"Xq7"},"provisioned":{"via":"Xq7"}}"#,
            "device with an unreadable member provisioned"
        ),
    ])
    func `a refusal never shows a value`(body: String, why: String) throws {
        let json = try json(body)
        #expect(refusal { () throws(InvalidRecord) in _ = try Device(json, seq: 1) } == why)
        #expect(!why.contains("Xq7"))
    }
}
