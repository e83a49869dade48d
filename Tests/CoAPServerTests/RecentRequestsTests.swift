internal import Testing

@testable import CoAPServer

@Suite("Requests that are sent again")
struct RecentRequestsTests {
    private typealias Recent = RecentRequests<String>

    private func ticket(_ memory: Recent.Memory) -> Recent.Ticket? {
        if case .new(let ticket) = memory { ticket } else { nil }
    }

    private func answer(_ memory: Recent.Memory) -> String? {
        if case .answered(let answer) = memory { answer } else { nil }
    }

    private func isWaiting(_ memory: Recent.Memory) -> Bool {
        if case .waiting = memory { true } else { false }
    }

    private func id(_ messageID: UInt16, port: UInt16 = 1) -> Recent.Key {
        Recent.Key(peer: peer(1, port: port), messageID: messageID)
    }

    @Test func `one that waits is not run again; one that was answered is answered again`() throws {
        var recent = Recent(capacity: 8, maximumBytes: 100)
        let first = try #require(ticket(recent.recall(id(1), fingerprint: 5, at: .zero)))
        #expect(isWaiting(recent.recall(id(1), fingerprint: 5, at: .seconds(1))))
        recent.answered(first, "yes", bytes: 3)
        #expect(answer(recent.recall(id(1), fingerprint: 5, at: .seconds(246))) == "yes")
    }

    @Test func `another peer, another number and other contents are new`() {
        var recent = Recent(capacity: 8, maximumBytes: 100)
        #expect(ticket(recent.recall(id(1), fingerprint: 5, at: .zero)) != nil)
        #expect(ticket(recent.recall(id(2), fingerprint: 5, at: .zero)) != nil)
        #expect(ticket(recent.recall(id(1, port: 2), fingerprint: 5, at: .zero)) != nil)
        #expect(ticket(recent.recall(id(1), fingerprint: 6, at: .zero)) != nil)
        #expect(isWaiting(recent.recall(id(1), fingerprint: 6, at: .zero)))
    }

    @Test func `after 247 s a number may be used again`() throws {
        var recent = Recent(capacity: 8, maximumBytes: 100)
        let first = try #require(ticket(recent.recall(id(1), fingerprint: 5, at: .zero)))
        recent.answered(first, "yes", bytes: 3)
        #expect(ticket(recent.recall(id(1), fingerprint: 5, at: .seconds(247))) != nil)
        #expect(recent.count == 1)
    }

    @Test func `the oldest give way when it is full, and a late answer to them is dropped`() throws {
        var recent = Recent(capacity: 4, maximumBytes: 100)
        let first = try #require(ticket(recent.recall(id(0), fingerprint: 0, at: .zero)))
        for number in 1...4 { _ = recent.recall(id(UInt16(number)), fingerprint: 0, at: .zero) }
        #expect(recent.count == 4)
        recent.answered(first, "late", bytes: 4)
        #expect(isWaiting(recent.recall(id(1), fingerprint: 0, at: .zero)))
        #expect(ticket(recent.recall(id(0), fingerprint: 0, at: .zero)) != nil)
    }

    @Test func `long answers push old ones out`() throws {
        var recent = Recent(capacity: 100, maximumBytes: 100)
        for number in 0..<20 {
            let new = try #require(ticket(recent.recall(id(UInt16(number)), fingerprint: 0, at: .zero)))
            recent.answered(new, "\(number)", bytes: 30)
        }
        #expect(recent.count == 3)
        #expect(answer(recent.recall(id(19), fingerprint: 0, at: .zero)) == "19")
        #expect(ticket(recent.recall(id(16), fingerprint: 0, at: .zero)) != nil)
    }

    @Test func `it agrees with a plain list over many random requests`() throws {
        var random = SystemRandomNumberGenerator()
        var recent = Recent(capacity: 50, maximumBytes: 1000)
        var list: [(id: UInt16, fingerprint: Int, at: Int, answer: String)] = []
        for second in 0..<5000 {
            let number = UInt16.random(in: 0..<80, using: &random)
            let fingerprint = Int.random(in: 0..<2, using: &random)
            list.removeAll { second - $0.at >= 247 }
            let known = list.last { $0.id == number }
            let memory = recent.recall(id(number), fingerprint: fingerprint, at: .seconds(second))
            if let known, known.fingerprint == fingerprint {
                #expect(answer(memory) == known.answer)
                continue
            }
            let new = try #require(ticket(memory))
            recent.answered(new, "\(second)", bytes: 1)
            list.append((number, fingerprint, second, "\(second)"))
            if list.count > 50 { list.removeFirst() }
        }
    }
}
