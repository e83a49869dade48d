internal import Glibc
internal import JSON
internal import Journal
internal import Provisioning
internal import TestSupport
internal import Testing

@testable internal import Store

@Suite("The store after a restart")
struct ReplayTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: 1...6) func `it has what it had, after random changes and restarts`(seed: Int) throws {
        var random = SeededNumbers(state: UInt64(seed))
        var devices: [Text: Device] = [:]
        var profiles: [Text: DeviceProfile] = [:]
        for restart in 0..<4 {
            let store = try openStore(directory)
            try check(store, devices, profiles, "restart \(restart)")
            for step in 0..<150 {
                let number = Int.random(in: 0..<40, using: &random)
                switch Int.random(in: 0..<20, using: &random) {
                case 0..<14:
                    let id = Text("i\(number)")
                    let version = "\(restart) \(step)"
                    let name: Text = Bool.random(using: &random) ? Text("D\(number)") : Text("D\(number) \(version)")
                    let profile = Text("p\(Int.random(in: 0..<4, using: &random))")
                    let token = Text("t\(number) \(Bool.random(using: &random) ? version : "")")
                    var device = device(id, name: name, token: token, profile: profile)
                    device.isGateway = Bool.random(using: &random)
                    device.label = Bool.random(using: &random) ? "é\"\u{2028}" : nil
                    device.attributes["provisionState"] = Bool.random(using: &random) ? .text("provisioned") : nil
                    device.provisioned =
                        Bool.random(using: &random) ? Device.Provisioned(via: "http", source: .device) : nil
                    try store.put(device, now: 1)
                    devices[id] = device
                case 14..<17:
                    let id = Text("p\(number % 4)")
                    let key: Text? = Bool.random(using: &random) ? Text("key \(id) \(restart) \(step)") : nil
                    let profile = profile(id, name: Text("P\(number % 4)"), key: key)
                    try store.put(profile, now: 1)
                    profiles[id] = profile
                case 17:
                    guard let profile = profiles[Text("p\(number % 4)")] else { continue }
                    try store.delete(profile, now: 1)
                    profiles[profile.id] = nil
                default: store.prepare()
                }
            }
            try check(store, devices, profiles, "before restart \(restart + 1)")
            try store.close()
            let found = try Store.inspect(directory.path)
            #expect(found.devices == devices.count)
            #expect(found.profiles == profiles.count)
        }
    }

    private func check(
        _ store: Store, _ devices: [Text: Device], _ profiles: [Text: DeviceProfile], _ when: Comment
    ) throws {
        #expect(store.deviceCount == devices.count, when)
        for device in devices.values {
            let expected = line(device)
            #expect(line(try store.device(id: device.id)) == expected, when)
            #expect(line(try store.device(named: device.name)) == expected, when)
            #expect(line(try store.device(holding: device.credentials.id)) == expected, when)
        }
        #expect(store.profiles.count == profiles.count, when)
        for number in 0..<4 {
            let id = Text("p\(number)")
            #expect(line(store.profile(id: id)) == line(profiles[id]), when)
            let count = devices.values.count { $0.profile == id }
            #expect(store.deviceCount(of: profile(id)) == count, when)
        }
        for profile in profiles.values {
            guard let key = profile.provisionKey else { continue }
            #expect(store.profile(key: key)?.id == profile.id, when)
        }
    }

    @Test func `a device that was provisioned just now gets a fresh window, one that is settled none`() throws {
        do {
            let store = try openStore(directory)
            // No window at all: what was provisioned before the stop is settled by it.
            try store.put(profile("p", window: .seconds(0)), now: 1)
            try store.put(device("i1", name: "D1", token: "t1", isProvisioned: true), now: 1)
            let first = try #require(try store.device(named: "D1"))
            #expect(store.secondsSinceProvisioning(first) != nil)
            try store.close()
        }
        do {
            let store = try openStore(directory)
            let first = try #require(try store.device(named: "D1"))
            #expect(store.secondsSinceProvisioning(first) == nil)
            // Nothing is due but the first look for dead lines.
            #expect(store.timeout.map { $0 > .seconds(30) } ?? true)
            try store.put(profile("p", window: .seconds(3600)), now: 1)
            try store.put(device("i2", name: "D2", token: "t2", isProvisioned: true), now: 1)
            try store.close()
        }
        let store = try openStore(directory)
        let first = try #require(try store.device(named: "D1"))
        let second = try #require(try store.device(named: "D2"))
        #expect(store.secondsSinceProvisioning(first) == nil)
        let age = try #require(store.secondsSinceProvisioning(second))
        #expect(age < 600)
        #expect(store.timeout != nil)
    }

    @Test func `a device that never was provisioned has no window`() throws {
        let store = try openStore(directory)
        try store.put(device("i1", name: "D1", token: "t1"), now: 1)
        let first = try #require(try store.device(named: "D1"))
        #expect(store.secondsSinceProvisioning(first) == nil)
        #expect(!store.windows.isOpen)
    }

    @Test func `a later change of a device does not open its window again`() throws {
        let store = try openStore(directory)
        try store.put(device("i1", name: "D1", token: "t1", isProvisioned: true), now: 1)
        var first = try #require(try store.device(named: "D1"))
        #expect(first.provisioned?.seq == 1)
        first.label = "new"
        try store.put(first, now: 1)
        #expect(try store.device(named: "D1")?.provisioned?.seq == 1)
        #expect(store.windows.seconds(since: 2, now: monotonicSeconds()) == nil)
    }

    @Test(arguments: [
        (#""device":{"id":"Xq7","name":"Xq7"}"#, "device without id, name and profile"),
        (#""other":{}"#, "no device in it"),
        (
            #""device":{"id":"i","name":"n","profile":"p","credentials":{"type":"Xq7","id":"Xq7"}}"#,
            "device without credentials of a known type"
        ),
    ])
    func `a whole record that says nothing known is refused at the start, without its content`(
        members: String, why: String
    ) throws {
        try writeRecord("devices", members, .put)
        try checkRefused("devices", why)
    }

    @Test(arguments: [
        (#""profile":{"name":"Xq7"}"#, Operation.put, "profile without id"),
        (#""other":"Xq7""#, .put, "no profile in it"),
        (#""profile":{"id":{"id":"i"},"name":"P","nearhub":{"Xq7":1}}"#, .put, "unknown setting in nearhub"),
        (#""profile":{"id":"Xq7"}"#, .delete, "a deletion without id"),
    ])
    func `a whole record of a profile that says nothing known is refused too`(
        members: String, operation: Operation, why: String
    ) throws {
        try writeRecord("profiles", members, operation)
        try checkRefused("profiles", why)
    }

    @Test func `a deletion ends a device, and means nothing for one that is not there`() throws {
        let device = #""device":{"id":"i","name":"n","profile":"p","credentials":{"type":"ACCESS_TOKEN","id":"t"}}"#
        try writeRecord("devices", device, .put)
        #expect(try Store.inspect(directory.path).devices == 1)
        try writeRecord("devices", #""device":{"id":"i"}"#, .delete)
        try writeRecord("devices", #""device":{"id":"j"}"#, .delete)
        let found = try Store.inspect(directory.path)
        #expect(found.devices == 0)
        try writeRecord("devices", #""device":{"name":"n"}"#, .delete)
        try checkRefused("devices", "a deletion without id")
    }

    /// Writes a record with a valid checksum.
    private func writeRecord(_ log: String, _ members: String, _ operation: Operation) throws {
        // A start makes both logs before it writes to one.
        for name in ["profiles", "devices"] where name != log {
            _ = try Log.open(directory: directory.path, name: name) { _, _ in }
        }
        let (log, _) = try Log.open(directory: directory.path, name: log) { _, _ in }
        let journal = try Journal([log]) { error in fatalError("\(error)") }
        let value = try JSONValue.parse(Array("{\(members)}".utf8))
        _ = try log.append(operation, at: 1) { json in
            for member in value.object?.members ?? [] {
                json.name(escaping: member.name)
                json.value(member.value)
            }
        }
        try journal.flush()
    }

    private func checkRefused(_ log: String, _ why: String) throws {
        for open in [{ _ = try openStore(directory) }, { _ = try Store.inspect(directory.path) }] as [() throws -> Void]
        {
            let error = #expect(throws: JournalError.self) { try open() }
            guard case .damaged(let offset, _, why) = error?.kind else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(offset > 0)
            #expect(error?.file == "\(directory.path)/\(log).jsonl")
            #expect(error?.description.contains("Xq7") == false)
        }
    }
}
