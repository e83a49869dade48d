internal import Crypto
internal import Glibc
internal import JSON
internal import Provisioning
internal import TestSupport
internal import Testing

/// One case of the wire contract, as far as it needs no face.
struct Case: Sendable, CustomTestStringConvertible {
    let json: JSONValue

    var testDescription: String { "\(text("id")): \(text("why"))" }

    func text(_ name: Text) -> String { json[name]?.text?.description ?? "" }

    /// All cases that are the same on every face.
    static let all: [Case] = {
        let cases = (try? JSONValue.parse(contents()).array) ?? []
        return cases.map(Case.init).filter { $0.json["request"]?["transport"]?.text == "any" }
    }()

    private static func contents(_ here: String = #filePath) -> [UInt8] {
        let tests = here.split(separator: "/").dropLast(2).joined(separator: "/")
        guard let file = unsafe fopen("/\(tests)/Protocol/cases.json", "r") else { return [] }
        defer { unsafe fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = unsafe fread(&bytes, 1, bytes.count, file)
        return Array(bytes[..<count])
    }
}

@Suite("The wire contract")
struct CasesTests {
    @Test func `there are as many cases as there must be`() {
        #expect(Case.all.count == 87)
    }

    @Test(arguments: Case.all) func `a case is decided as it says`(one: Case) throws {
        let devices = Devices()
        let profiles = given(one, devices)
        let expect = try #require(one.json["expect"])
        let bodies = try requests(one)
        let expected = expect["sequence"]?.array ?? (expect["multiset"] == nil ? [expect] : [])
        var statuses: [Text] = []
        for (index, body) in bodies.enumerated() {
            let expected = expected.isEmpty ? nil : expected[index]
            let request: ProvisionRequest
            do throws(MalformedRequest) { request = try ProvisionRequest(body) } catch {
                let answer = ProvisionAnswer(error, legacyFields: false).bytes()
                #expect(expected?["http"] == .integer(400))
                #expect(.text(Text(utf8: answer)) == expected?["fields"]?["coapAndMqttModernBody"])
                for guarded in one.json["expect"]?["mustNotContain"]?.array ?? [] {
                    #expect(!error.detail.contains(guarded.text?.description ?? ""))
                }
                continue
            }
            let decision = devices.provision(request, profiles.first { $0.provisionKey == request.provisionKey })
            let answer = try JSONValue.parse(ProvisionAnswer(decision.outcome, legacyFields: true).bytes())
            statuses.append(try #require(answer["status"]?.text))
            guard let expected else { continue }
            #expect(answer["status"] == expected["status"])
            #expect(expected["http"] == .integer(200))
            for name in expected["fields"]?["present"]?.array ?? [] { #expect(answer[try #require(name.text)] != nil) }
            for member in expected["fields"]?["exact"]?.object?.members ?? [] {
                #expect(answer[member.name] == member.value)
            }
            if let bytes = expected["modernBody"]?.text {
                #expect(decision.answer(legacyFields: false) == bytes.description)
            }
        }
        if let multiset = expect["multiset"]?.array { #expect(Set(statuses) == Set(multiset.compactMap(\.text))) }
        try check(expect["after"], devices, given: one)
    }

    private func check(_ after: JSONValue?, _ devices: Devices, given one: Case) throws {
        guard let after else { return }
        let before = one.json["given"]?["devices"]?.array?.count ?? 0
        if let count = after["deviceCount"]?.integer { #expect(Int64(devices.all.count) == count) }
        if let id = after["credentialsId"]?.text { #expect(devices.all.last?.credentials.id == id) }
        if after["deviceNameRegex"] != nil {
            #expect(devices.all.count == before + 1)
            #expect(devices.all.last?.name.utf8.count == 20)
        }
        guard let wanted = after["device"] else { return }
        let name = try #require(wanted["name"]?.text)
        let device = try #require(devices.device(named: name))
        if let id = wanted["credentialsId"]?.text { #expect(device.credentials.id == id) }
        if let type = wanted["credentialsType"]?.text { #expect(device.credentials.type.rawValue == type.description) }
        if let state = wanted["provisionState"] { #expect(device.attributes["provisionState"] ?? .null == state) }
        if let info = wanted["additionalInfo"] { #expect(device.isGateway == (info["gateway"] == .bool(true))) }
    }

    private func requests(_ one: Case) throws -> [[UInt8]] {
        let request = try #require(one.json["request"])
        func bytes(_ json: JSONValue) -> [UInt8] {
            var writer = JSONWriter()
            writer.value(json)
            return writer.bytes
        }
        let first = try #require(request["raw"]?.text?.utf8 ?? request["body"].map(bytes))
        let times = request["repeat"]?.integer ?? request["concurrent"]?.integer ?? 1
        return Array(repeating: first, count: Int(times)) + (request["then"]?.array ?? []).map(bytes)
    }

    /// Makes what a case starts from.
    private func given(_ one: Case, _ devices: Devices) -> [DeviceProfile] {
        let profiles = (one.json["given"]?["profiles"]?.array ?? []).compactMap { json -> DeviceProfile? in
            guard let name = json["name"]?.text, let key = json["provisionDeviceKey"]?.text,
                let strategy = ProvisionStrategy(rawValue: json["provisionType"]?.text?.description ?? "")
            else { return nil }
            var settings = ProfileSettings()
            if let seconds = json["repeatWindow"]?.integer { settings.repeatWindow = .seconds(UInt32(seconds)) }
            if json["repeatWindow"]?.text == "forever" { settings.repeatWindow = .forever }
            settings.allowGateway = json["allowGateway"]?.bool ?? false
            return DeviceProfile(
                id: Text("id of \(name)"), name: name, createdTime: 1, strategy: strategy, provisionKey: key,
                provisionSecret: json["provisionDeviceSecret"]?.text.map { Secret($0.utf8) }, settings: settings)
        }
        for json in one.json["given"]?["devices"]?.array ?? [] {
            guard let name = json["name"]?.text, let profile = json["profile"]?.text,
                let type = CredentialsType(rawValue: json["credentialsType"]?.text?.description ?? "")
            else { continue }
            let state = json["provisionState"].flatMap { $0 == .null ? nil : $0 }
            let device = devices.register(name, profile: Text("id of \(profile)"), state: state)
            devices.all[devices.all.count - 1] = Device(
                id: device.id, name: name, profile: device.profile, createdTime: 1,
                credentials: Credentials(
                    type: type, id: json["credentialsId"]?.text ?? "", value: json["credentialsValue"]?.text),
                attributes: device.attributes)
        }
        return profiles
    }
}
