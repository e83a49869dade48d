import JSON
import MQTTClient
import Provisioning
import TestSupport
import Testing
import Upstream

@Suite("Dialect thingsboard: an upstream that does what it likes")
struct ThingsBoardChaosTests {
    @Test(arguments: 0..<300 as Range<UInt64>)
    func `each device is settled once, and what is confirmed is there`(seed: UInt64) throws {
        var world = World(seed: seed)
        try world.run()
        let play = world.play
        #expect(play.outcomes.count == World.devices)
        for (name, outcome) in play.outcomes {
            let isThere = world.tokens.contains("token-of-\(name)")
            switch outcome {
            case .confirmed: #expect(isThere, "\(name) is confirmed and not there")
            case .refused(.failureUpstream), .conflict: #expect(!isThere, "\(name) is there: \(outcome)")
            default: Issue.record("\(name): \(outcome)")
            }
        }
        for name in world.taken { #expect(play.outcomes[name] != .confirmed) }
    }
}

/// A ThingsBoard that answers late, twice, not at all, in noise or with a closed connection, by a seed.
private struct World {
    static let devices = 30

    private enum Event {
        case accept(UInt8)
        case acknowledge(Receipt)
        case answer(String)
        case close
    }

    let play = ThingsBoardPlay { $0.sessions = 3 }
    /// The access tokens of the devices upstream.
    private(set) var tokens: Set<String> = []
    /// Devices whose names are somebody else's upstream.
    private(set) var taken: Set<String> = []
    private var names: Set<String> = []
    private var random: SeededNumbers
    private var events: [(at: Duration, channel: Channel, connection: Int, event: Event)] = []
    private var connections: [Channel: Int] = [:]
    private var seen = 0

    init(seed: UInt64) {
        random = SeededNumbers(state: seed)
        play.testChannel = Channel(3)
        taken = ["d3", "d17"]
        names = ["up-d3", "up-d17"]
    }

    mutating func run() throws {
        var offered = 0
        var putOff: [String: Int] = [:]
        for _ in 0..<20_000 where play.outcomes.count < Self.devices {
            try takeActions()
            if play.room > 0, let (name, times) = play.unanswered.first(where: { $0.value > putOff[$0.key] ?? 0 }) {
                putOff[name] = times
                play.offerAgain(name)
                continue
            }
            if offered < Self.devices, play.room > 0, chance(0.5) {
                play.offer("d\(offered)")
                offered += 1
                continue
            }
            guard let next = events.indices.min(by: { events[$0].at < events[$1].at }) else {
                play.pass(.milliseconds(100))
                continue
            }
            let (at, channel, connection, event) = events.remove(at: next)
            if at > play.now { play.pass(at - play.now) }
            try takeActions()
            // What the hub has left says nothing any more.
            guard connections[channel] == connection, play.connections[channel]?.isOpen == true else { continue }
            tell(event, channel)
        }
        #expect(offered == Self.devices)
    }

    private mutating func tell(_ event: Event, _ channel: Channel) {
        switch event {
        case .accept(0): play.tell(.connected(channel))
        case .accept(let code): play.lose(channel, .refused(code: code))
        case .acknowledge(let receipt): play.tell(.acknowledged(channel, receipt, code: 0, reason: ""))
        case .answer(let text): play.send(text, channel)
        case .close: play.lose(channel)
        }
    }

    private mutating func takeActions() throws {
        while seen < play.actions.count {
            let action = play.actions[seen]
            seen += 1
            switch action {
            case .connect(let channel, let introduction): connect(channel, introduction)
            case .publish(let channel, let publication, let receipt):
                let json = try JSONValue.parse(publication.payload)
                let name = try #require(json["deviceName"]?.text?.description)
                let token = try #require(json["token"]?.text?.description)
                try provision(channel, name, token, try #require(receipt))
            default: break
            }
        }
    }

    private mutating func connect(_ channel: Channel, _ introduction: Introduction) {
        connections[channel, default: 0] += 1
        let user = introduction.login?.username ?? ""
        if chance(0.05) { return add(channel, .close, after: 5) }
        add(channel, .accept(user == "provision" || tokens.contains(user) ? 0 : 5), after: 5)
    }

    private mutating func provision(_ channel: Channel, _ name: String, _ token: String, _ receipt: Receipt) throws {
        let isDone = chance(0.9)
        var answer = ThingsBoardPlay.failure
        if isDone, !names.contains(name), !tokens.contains(token) {
            names.insert(name)
            tokens.insert(token)
            answer = ThingsBoardPlay.success(token)
        }
        guard isDone, chance(0.8) else {
            // Lost, in one way or another.
            switch Int.random(in: 0..<3, using: &random) {
            case 0: add(channel, .close, after: 20)
            case 1:
                add(channel, .acknowledge(receipt), after: 10)
                add(channel, .answer("noise"), after: 10)
            default: break
            }
            return
        }
        let delay = Int.random(in: 1..<200, using: &random)
        add(channel, .acknowledge(receipt), after: delay)
        add(channel, .answer(answer), after: delay)
        if chance(0.2) { add(channel, .answer(answer), after: delay + Int.random(in: 0..<300, using: &random)) }
        if chance(0.2) { add(channel, .close, after: delay + Int.random(in: 1..<500, using: &random)) }
    }

    private mutating func add(_ channel: Channel, _ event: Event, after milliseconds: Int) {
        // Whatever has the same time comes in the order in which it was added.
        let order = Duration.nanoseconds(events.count)
        events.append((play.now + .milliseconds(milliseconds) + order, channel, connections[channel] ?? 0, event))
    }

    private mutating func chance(_ part: Double) -> Bool { Double.random(in: 0..<1, using: &random) < part }
}
