internal import CoAPMessage
internal import EventLoop
internal import Testing

@testable import CoAPServer

/// A server of `/r` in a loop, whose handler keeps all requests until the test answers them.
private final class Site {
    let loop: EventLoop
    private(set) var requests: [CoAPRequest] = []
    private(set) var exchanges: [CoAPExchange] = []
    private(set) var server: CoAPServer?

    init() throws {
        loop = try EventLoop()
        let resource = CoAPResource(path: ["r"], methods: [.post])
        let server = try CoAPServer(host: "127.0.0.1", port: 0, resources: [resource]) {
            [unowned self] request, exchange in
            requests.append(request)
            exchanges.append(exchange)
        }
        self.server = server
        try loop.add(server)
        // So that a turn never waits for long.
        try loop.add(Timer(every: .milliseconds(20)) {})
    }

    var port: UInt16 {
        get throws {
            let address = try #require(server?.address)
            return try #require(UInt16(address.split(separator: ":").last ?? ""))
        }
    }

    func turns(for duration: Duration = .milliseconds(60)) throws {
        let end = ContinuousClock.now.advanced(by: duration)
        while ContinuousClock.now < end { try loop.turn() }
    }

    deinit {
        for exchange in exchanges { exchange.answer(CoAPResponse(.badRequest)) }
        server?.stop()
    }
}

@Suite("The server")
struct ServerTests {
    private let created = CoAPResponse(.created, contentFormat: 0, body: Array("yes".utf8))

    @Test func `the answer to a confirmable request is in its acknowledgement`() throws {
        let site = try Site()
        let client = try Client(port: site.port)
        client.post([1, 2], messageID: 300)
        try site.turns()
        #expect(client.next() == nil)
        #expect(site.requests.map(\.body) == [[1, 2]])
        #expect(site.requests.map(\.peer) == ["127.0.0.1"] && site.requests.map(\.isConfirmable) == [true])
        site.exchanges[0].answer(created)
        site.exchanges[0].answer(CoAPResponse(.badRequest))
        #expect(client.next() == Client.Message(type: 2, code: 0x41, messageID: 300, payload: Array("yes".utf8)))
        #expect(client.next() == nil)
        #expect(site.server?.requests == 1)
    }

    @Test func `the answer to a non-confirmable request is non-confirmable`() throws {
        let site = try Site()
        let client = try Client(port: site.port)
        client.post([1], messageID: 300, confirmable: false)
        try site.turns()
        site.exchanges[0].answer(created)
        let answer = try #require(client.next())
        #expect(answer.type == 1 && answer.code == 0x41)
    }

    @Test func `what is sent again while the first one waits is answered once, and afterwards again, and run once`()
        throws
    {
        let site = try Site()
        let client = try Client(port: site.port)
        for _ in 0..<3 { client.post([1], messageID: 7) }
        try site.turns()
        #expect(site.requests.count == 1)
        site.exchanges[0].answer(created)
        let first = try #require(client.next())
        #expect(client.next() == nil)
        client.post([1], messageID: 7)
        try site.turns()
        #expect(client.next() == first)
        #expect(site.requests.count == 1)
        // A device that has restarted and counts anew sends something else under the same number.
        client.post([2], messageID: 7, token: 2)
        try site.turns()
        #expect(site.requests.count == 2)
    }

    @Test
    func `after a second an empty acknowledgement goes first, and the answer is a message of its own, sent again`()
        throws
    {
        let site = try Site()
        let client = try Client(port: site.port)
        client.post([1], messageID: 7)
        try site.turns(for: .milliseconds(1200))
        let empty = try #require(client.next())
        #expect(empty.isEmptyAcknowledgement && empty.messageID == 7)
        client.post([1], messageID: 7)
        try site.turns()
        #expect(client.next()?.isEmptyAcknowledgement == true)
        site.exchanges[0].answer(created)
        let answer = try #require(client.next())
        #expect(answer.type == 0 && answer.payload == Array("yes".utf8))
        // Nobody acknowledges: 2 to 3 s later it comes again.
        try site.turns(for: .milliseconds(3200))
        #expect(client.next() == answer)
        #expect(site.requests.count == 1)
    }

    @Test func `1,024 requests may wait, the next one is told to come back in 5 s`() throws {
        let site = try Site()
        let client = try Client(port: site.port)
        for number in 0..<1025 {
            client.post([1], messageID: UInt16(number))
            // Before the socket's buffer is full.
            if number % 8 == 0 { try site.loop.turn() }
        }
        try site.turns(for: .milliseconds(300))
        #expect(site.exchanges.count == 1024)
        // On a slow machine the empty acknowledgements of the waiting ones come first.
        var busy = client.next()
        while let message = busy, message.messageID != 1024 { busy = client.next() }
        #expect(busy?.type == 2 && busy?.code == CoAPCode.unavailable.rawValue)
    }

    @Test func `an address that another server has is refused, though libcoap would share it`() throws {
        let site = try Site()
        let port = try site.port
        #expect(throws: SystemError.self) {
            _ = try CoAPServer(host: "127.0.0.1", port: port, resources: []) { _, _ in }
        }
        #expect(throws: SystemError.self) {
            _ = try CoAPServer(host: "192.0.2.1", port: 0, resources: []) { _, _ in }
        }
    }
}
