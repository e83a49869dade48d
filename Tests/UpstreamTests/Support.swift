internal import Crypto
internal import EventLoop
internal import JSON
internal import Journal
internal import MQTTClient
internal import Provisioning
internal import Store
internal import TestSupport
internal import Testing

@testable internal import Upstream

/// Plays the engine for a dialect with one connection: a clock, a cursor, and what the dialect did.
struct Play<Played: Dialect> {
    var dialect: Played
    var now = Duration.seconds(1000)
    var cursor: UInt64 = 0
    /// All that it published, in order.
    private(set) var published: [(publication: MQTTPublication, receipt: Receipt?)] = []
    private(set) var outcomes: [Text: Outcome] = [:]
    private(set) var links: [LinkState] = []
    private(set) var rewinds: [UInt64] = []
    private(set) var examined: [Text] = []
    /// The highest number of a deletion that was told.
    var ended: UInt64 = 0
    var hasGhosts = false
    private(set) var introductions: [Introduction] = []
    private(set) var drops = 0

    init(_ dialect: Played) { self.dialect = dialect }

    mutating func take(_ input: Input) {
        let moment = Moment(now: now, chance: 0, cursor: cursor, ended: ended, hasGhosts: hasGhosts)
        for action in dialect.handle(input, at: moment) {
            switch action {
            case .connect(_, let introduction): introductions.append(introduction)
            case .disconnect: drops += 1
            case .publish(_, let publication, let receipt): published.append((publication, receipt))
            case .settle(let device, let outcome): outcomes[device] = outcome
            case .rewind(let seq): rewinds.append(seq)
            case .release(let device): Issue.record("\(device) is released")
            case .examine(let device): examined.append(device)
            case .report(let state): links.append(state)
            }
        }
    }

    /// Lets time pass up to the next deadline.
    mutating func wait() {
        guard let deadline = dialect.deadline else { return }
        now = max(now, deadline)
        take(.time)
    }

    /// PUBACK for what was published at this place and after it.
    mutating func acknowledge(from place: Int = 0, code: UInt8 = 0) {
        for (_, receipt) in published[place...] {
            if let receipt { take(.acknowledged(Channel(0), receipt, code: code, reason: "for a test")) }
        }
    }

    var topics: [String] { published.map(\.publication.topic) }

    /// The payload published at this place, as JSON.
    func json(_ place: Int) throws -> JSONValue { try JSONValue.parse(published[place].publication.payload) }
}

let channel = Channel(0)

extension MQTTMessage {
    /// A retained message.
    init(_ topic: String, _ payload: String) {
        self.init(
            topic: topic, payload: Array(payload.utf8), qos: 1, isRetained: true, responseTopic: nil,
            correlationData: nil)
    }
}

func device(_ number: Int, token: String? = nil, isProvisioned: Bool = true) -> Device {
    Device(
        id: Text("i\(number)"), name: Text("D\(number)"), profile: "p", createdTime: 1,
        credentials: Credentials(type: .accessToken, id: Text(token ?? "token\(number)")),
        attributes: JSONObject([.init(name: Device.provisionState, value: Device.isProvisioned)]),
        provisioned: isProvisioned ? Device.Provisioned(via: "http", source: .hub) : nil)
}

let meters = DeviceProfile(
    id: "p", name: "meters", createdTime: 1, strategy: .allowCreateNewDevices, provisionKey: "key",
    provisionSecret: Secret(Array("secret".utf8)))

func change(_ number: Int, seq: UInt64? = nil) -> Change {
    Change(
        seq: seq ?? UInt64(number), device: Text("i\(number)"), content: .device(device(number), meters),
        upstreamName: Text("D\(number)"))
}

func farewell(_ number: Int, seq: UInt64) -> Change {
    Change(seq: seq, device: Text("i\(number)"), content: .deleted, upstreamName: "")
}

let hub: Text = "0123456789abcdef0123456789abcdef"

/// A store in a directory of its own, with a loop that brings things to disk.
struct Site {
    let directory: TemporaryDirectory
    let store: Store
    let loop: EventLoop

    init(_ directory: TemporaryDirectory) throws {
        self.directory = directory
        store = try Store(try StateDirectory.open(directory.path)) { error in fatalError("\(error)") }
        loop = try EventLoop()
        try loop.add(store)
        try loop.add(store.upstream)
    }

    /// Turns the loop until all that was staged is on disk.
    func settle() throws {
        var isDone = false
        store.whenDurable { _ in isDone = true }
        while !isDone { try loop.turn() }
    }

    /// Writes devices, and waits until they are on disk.
    func put(_ devices: Device...) throws {
        for device in devices { try store.put(device, now: 1) }
        try settle()
    }
}
