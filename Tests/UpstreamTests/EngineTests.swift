internal import EventLoop
internal import Glibc
internal import JSON
internal import MQTTClient
internal import Provisioning
internal import Store
internal import TestSupport
internal import Testing

@testable internal import Upstream

@Suite("The engine of upstream")
struct EngineTests {
    let directory: TemporaryDirectory
    private let site: Site

    init() throws {
        directory = try TemporaryDirectory()
        site = try Site(directory)
    }

    /// An engine that is not started: what its connection would say, the tests say.
    private func engine(
        _ dialect: DialectName = .journal, url: String = "mqtt://127.0.0.1:1", username: String? = nil,
        prefix: String = "", withCredentials: Bool = false
    ) -> Upstream {
        var settings = Settings(hub: hub)
        settings.includesCredentials = withCredentials
        settings.login = username.map { MQTTLogin(username: $0, password: nil) }
        let plan = Upstream.Plan(
            dialect, Upstream.Address(host: "127.0.0.1", port: 1, tls: nil), url: url, settings, namePrefix: prefix)
        return Upstream(plan, site.store, site.loop) { _ in }
    }

    /// Takes all devices in flight.
    private func offer(_ engine: Upstream) throws {
        while try engine.feed.next(until: .monotonic + .seconds(1), name: { engine.upstreamName(of: $0) }) != nil {}
    }

    private func row(_ engine: Upstream, _ device: Text) throws -> Upstream.Row {
        try #require(engine.rows(nil, after: 0, limit: 100).rows.first { $0.id == device })
    }

    private func counts(_ engine: Upstream) -> [Int] {
        let counts = engine.counts()
        return [counts.pending, counts.sent, counts.confirmed, counts.refused, counts.conflict]
    }

    @Test func `counts every device in one state`() throws {
        try site.put(device(1), device(2), device(3), device(4))
        let engine = engine()
        #expect(counts(engine) == [4, 0, 0, 0, 0])
        try offer(engine)
        #expect(counts(engine) == [0, 4, 0, 0, 0])
        engine.settle("i1", .confirmed)
        engine.settle("i2", .refused(.quota))
        engine.settle("i3", .conflict(Credentials(type: .accessToken, id: "other")))
        #expect(counts(engine) == [0, 1, 1, 1, 1])
        #expect(try row(engine, "i2").reason == "QUOTA")
        #expect(try row(engine, "i3").differs == ["credentialsId"])
        #expect(try row(engine, "i4").state == .sent)
        #expect(try engine.rows(.refused, after: 0, limit: 10).rows.map(\.id) == ["i2"])
        #expect(try engine.rows(.confirmed, after: 0, limit: 10).rows.map(\.id) == ["i1"])
    }

    @Test func `a device that waits for its first success is neither pending nor confirmed at ThingsBoard`() throws {
        try site.put(device(1, isProvisioned: false), device(2))
        let engine = engine(.thingsboard)
        try offer(engine)
        engine.settle("i2", .confirmed)
        #expect(counts(engine) == [0, 0, 1, 0, 0])
        #expect(try row(engine, "i1").state == .unprovisioned)
    }

    @Test func `refused devices are told again when an administrator says so, or other settings do`() throws {
        try site.put(device(1), device(2))
        let first = engine()
        first.start()
        try offer(first)
        first.settle("i1", .refused(.notAuthorised))
        first.settle("i2", .refused(.notAuthorised))
        #expect(try first.retry(device(1)))
        #expect(try !first.retry(device(1)))
        #expect(try row(first, "i1").state == .pending)
        first.stop()
        let same = engine()
        #expect(site.store.syncStates["i2"]?.kind == .refused)
        #expect(same.feed.cursor == 2)
        let other = engine(username: "other")
        #expect(site.store.syncStates["i2"]?.kind == .pending)
        #expect(other.feed.cursor == 2)
        try offer(other)
        #expect(other.feed.inFlight == 2)
    }

    @Test(arguments: [DialectName.thingsboard, .gateway, .journal])
    func `another prefix renames nobody at ThingsBoard, which somebody must be told`(dialect: DialectName) {
        let first = engine(dialect, prefix: "north hall-")
        first.start()
        let target = site.store.upstreamCursor.target
        let former = { (engine: Upstream) in engine.plan.formerPrefix(target) }
        #expect(former(engine(dialect, prefix: "south-")) == (dialect == .journal ? nil : "north hall-"))
        #expect(former(engine(dialect, prefix: "north hall-")) == nil)
        #expect(former(engine(dialect, url: "mqtt://127.0.0.1:11", prefix: "south-")) == nil)
        #expect(first.plan.formerPrefix("") == nil)
    }

    @Test(arguments: ["url", "dialect", "prefix", "credentials"])
    func `another upstream is told everything, and the states of the old one are void`(what: String) throws {
        try site.put(device(1), device(2))
        let first = engine()
        first.start()
        try offer(first)
        first.settle("i1", .refused(.quota))
        first.settle("i2", .confirmed)
        first.stop()
        let second =
            switch what {
            case "url": engine(url: "mqtt://127.0.0.1:2")
            case "dialect": engine(.thingsboard)
            case "credentials": engine(withCredentials: true)
            default: engine(prefix: "north-")
            }
        #expect(second.feed.cursor == 0)
        #expect(site.store.syncStates.isEmpty)
        try offer(second)
        #expect(second.feed.inFlight == 2)
    }

    @Test func `renaming changes the name upstream only, and it stays`() throws {
        try site.put(device(1))
        let engine = engine(prefix: "north-")
        try offer(engine)
        engine.settle("i1", .refused(.failureUpstream))
        #expect(try row(engine, "i1").upstreamName == "north-D1")
        #expect(try engine.resolve(device(1), .rename("other")) == nil)
        try offer(engine)
        #expect(try row(engine, "i1").upstreamName == "other")
        engine.settle("i1", .confirmed)
        #expect(try row(engine, "i1").state == .confirmed)
        #expect(site.store.syncStates["i1"]?.name == "other")
        #expect(try site.store.device(id: "i1")?.name == "D1")
        try site.put(device(1, token: "new"))
        try offer(engine)
        engine.settle("i1", .confirmed)
        #expect(try row(engine, "i1").upstreamName == "other")
    }

    @Test func `adopting gives the device upstream's credentials, unless they are another's`() throws {
        try site.put(device(1), device(2))
        let engine = engine()
        try offer(engine)
        engine.settle("i1", .conflict(Credentials(type: .accessToken, id: "token2")))
        #expect(try engine.resolve(device(1), .adopt) != nil)
        try site.put(device(1, token: "again"))
        try offer(engine)
        engine.settle("i1", .conflict(Credentials(type: .accessToken, id: "theirs")))
        #expect(try engine.resolve(device(1), .adopt) == nil)
        let adopted = try #require(try site.store.device(holding: "theirs"))
        #expect(adopted.id == "i1")
        try site.settle()
        #expect(site.store.secondsSinceProvisioning(try #require(try site.store.device(id: "i1"))) != nil)
        #expect(site.store.syncStates["i1"] == nil)
    }

    @Test func `a decision needs something to decide`() throws {
        try site.put(device(1))
        let engine = engine()
        try offer(engine)
        engine.settle("i1", .confirmed)
        for decision: Upstream.Decision in [.rename("x"), .keepLocal, .adopt] {
            #expect(try engine.resolve(device(1), decision) != nil)
        }
    }

    @Test func `other content for the same upstream leaves the names that were chosen for it`() throws {
        try site.put(device(1), device(2))
        let first = engine()
        first.start()
        try offer(first)
        first.settle("i1", .refused(.quota))
        #expect(try first.resolve(device(1), .rename("other")) == nil)
        first.stop()
        #expect(try row(engine(withCredentials: true), "i1").upstreamName == "other")
        #expect(try row(engine(url: "mqtt://127.0.0.1:2"), "i1").upstreamName == "D1")
    }

    @Test func `a device for which upstream never answers stays pending, and the cursor goes on`() throws {
        try site.put(device(1), device(2))
        let engine = engine(.thingsboard)
        try offer(engine)
        engine.settle("i1", .unanswered(pause: .seconds(300)))
        engine.settle("i2", .confirmed)
        #expect(engine.feed.cursor == 2 && counts(engine) == [1, 0, 1, 0, 0])
        #expect(try row(engine, "i1").state == .pending)
        try offer(engine)
        #expect(engine.feed.inFlight == 0, "not before others have had their turn")
        engine.feed.hurry()
        try offer(engine)
        #expect(counts(engine) == [0, 1, 1, 0, 0])
        engine.settle("i1", .confirmed)
        #expect(counts(engine) == [0, 0, 2, 0, 0] && site.store.syncStates.isEmpty)
    }

    // MARK: - Renamed, and gone

    /// The hub with an upstream that was told of device 1.
    private func told(_ dialect: DialectName = .thingsboard) throws -> Upstream {
        try site.put(device(1), device(2))
        let engine = engine(dialect)
        engine.start()
        try offer(engine)
        engine.settle("i1", .confirmed)
        engine.settle("i2", .confirmed)
        return engine
    }

    private func rename(_ number: Int, _ name: Text) throws {
        var device = device(number)
        device.name = name
        try site.put(device)
    }

    @Test func `what upstream calls a device is remembered when it is renamed, until upstream knows better`() throws {
        let engine = try told()
        try rename(1, "boiler")
        #expect(site.store.syncStates["i1"]?.formerName == "D1" && counts(engine)[0] == 1)
        #expect(engine.formerName(of: "i1") == "D1")
        try offer(engine)
        engine.settle("i1", .refused(.unsupportedByDialect))
        #expect(try row(engine, "i1").reason == "UNSUPPORTED_BY_DIALECT")
        // Another change does not make it forgotten, nor does a repeat.
        try rename(1, "boiler 2")
        #expect(engine.formerName(of: "i1") == "D1")
        #expect(try engine.retry(device(1)))
        #expect(engine.formerName(of: "i1") == "D1")
        try offer(engine)
        engine.settle("i1", .confirmed)
        #expect(site.store.syncStates.isEmpty)
        // What was told before it was renamed says nothing of the new name.
        try site.put(device(2, token: "a"))
        try offer(engine)
        try rename(2, "pump")
        engine.settle("i2", .confirmed)
        #expect(engine.formerName(of: "i2") == "D2")
        engine.stop()
    }

    @Test func `a name that was chosen upstream stays the same however the device is renamed here`() throws {
        let engine = try told()
        try site.put(device(1, token: "a"))
        try offer(engine)
        engine.settle("i1", .refused(.failureUpstream))
        #expect(try engine.resolve(device(1), .rename("other")) == nil)
        try offer(engine)
        engine.settle("i1", .confirmed)
        try rename(1, "boiler")
        #expect(engine.formerName(of: "i1") == nil)
        #expect(try row(engine, "i1").upstreamName == "other")
        engine.stop()
    }

    @Test func `the end of a device that upstream refuses is told again when somebody says so, or given up`() throws {
        let engine = try told()
        try site.store.delete(device(1), now: 1)
        try site.settle()
        try offer(engine)
        engine.settle("i1", .refused(.unsupportedByDialect))
        #expect(counts(engine) == [0, 0, 1, 1, 0])
        #expect(try engine.rows(.refused, after: 0, limit: 10).rows.map(\.name) == [nil])
        #expect(try engine.retry("i1"))
        #expect(counts(engine) == [1, 0, 1, 0, 0])
        try offer(engine)
        #expect(engine.feed.isEnd("i1"))
        engine.settle("i1", .refused(.unsupportedByDialect))
        #expect(try engine.keep("i1") == nil)
        #expect(counts(engine) == [0, 0, 1, 0, 0] && site.store.syncStates.isEmpty)
        engine.stop()
    }

    @Test func `up to where upstream was told of the end of devices outlives a restart`() throws {
        let engine = try told(.journal)
        #expect(engine.ended == 0)
        try site.store.delete(device(1), now: 1)
        try site.put(device(3))
        try offer(engine)
        engine.settle("i1", .confirmed)
        engine.settle("i3", .confirmed)
        #expect(engine.ended == 3)
        engine.stop()
        #expect(self.engine(.journal).ended == 3)
        #expect(self.engine(.journal, prefix: "north-").ended == 0)
    }
}
