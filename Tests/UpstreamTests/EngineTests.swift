internal import EventLoop
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
        prefix: String = ""
    ) -> Upstream {
        var settings = Settings(hub: hub)
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

    @Test(arguments: ["url", "dialect", "prefix"])
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

    /// Its state could never be written: the cursor stood still, and with it all devices.
    @Test func `credentials upstream that no line holds are a conflict all the same`() throws {
        try site.put(device(1), device(2))
        let engine = engine()
        try offer(engine)
        let quotes = Text(String(repeating: "\"", count: 80_000))
        engine.settle("i1", .conflict(Credentials(type: .mqttBasic, id: "u", value: quotes)))
        engine.settle("i2", .confirmed)
        #expect(engine.writeStates())
        #expect(try row(engine, "i1").state == .conflict)
        #expect(engine.feed.cursor == 2)
        #expect(counts(engine) == [0, 0, 1, 0, 1])
    }
}
