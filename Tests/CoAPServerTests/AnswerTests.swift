internal import CoAPMessage
internal import Testing

@testable import CoAPServer

@Suite("Answers in blocks")
struct LongAnswersTests {
    private let body = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    private func slice(_ answers: inout LongAnswers, _ number: UInt32, _ exponent: UInt8, at seconds: Int = 0) -> Reply?
    {
        let block = BlockOption(number: number, more: false, exponent: exponent)
        if case .reply(let reply) = answers.slice(block, for: key(1), at: .seconds(seconds)) { return reply }
        return nil
    }

    @Test func `1024 bytes go in one message, without a block option unless one was asked for`() {
        var answers = LongAnswers()
        let response = CoAPResponse(.created, contentFormat: 0, body: Array(body.prefix(1024)))
        let reply = answers.first(response, asked: nil, for: key(1), at: .zero)
        #expect(reply.payload == response.body && reply.block2 == nil && reply.entityTag == nil)
        let asked = BlockOption(number: 0, more: false, exponent: 6)
        #expect(answers.first(response, asked: asked, for: key(1), at: .zero).block2 == asked)
    }

    @Test(arguments: UInt8(0)...6) func `a long answer is fetched block by block, in any block size`(exponent: UInt8)
        throws
    {
        var answers = LongAnswers()
        let asked = BlockOption(number: 0, more: false, exponent: exponent)
        let response = CoAPResponse(.created, contentFormat: 0, body: body)
        let first = answers.first(response, asked: asked, for: key(1), at: .zero)
        #expect(first.size2 == 60_000 && first.block2?.more == true && first.contentFormat == 0)
        var got = first.payload
        var number: UInt32 = 1
        var more = true
        while more {
            let reply = try #require(slice(&answers, number, exponent))
            #expect(reply.entityTag == first.entityTag && reply.code == .created)
            got += reply.payload
            more = reply.block2?.more ?? false
            number += 1
        }
        #expect(got == body)
    }

    @Test func `a block of no answer is unknown, one behind the end is refused, an answer is kept for 60 s`() {
        var answers = LongAnswers()
        let block = BlockOption(number: 1, more: false, exponent: 6)
        guard case .unknown = answers.slice(block, for: key(1), at: .zero) else {
            Issue.record("a slice of nothing")
            return
        }
        _ = answers.first(CoAPResponse(.created, body: body), asked: nil, for: key(1), at: .zero)
        let last = BlockOption(number: 0xFFFFF, more: false, exponent: 6)
        guard case .beyondEnd = answers.slice(last, for: key(1), at: .zero) else {
            Issue.record("a slice behind the end")
            return
        }
        guard case .unknown = answers.slice(block, for: key(2), at: .zero) else {
            Issue.record("a slice for another peer")
            return
        }
        #expect(slice(&answers, 1, 6, at: 60) != nil)
        #expect(slice(&answers, 1, 6, at: 121) == nil)
    }

    @Test func `an error to a short request is at most 32 bytes longer, or brief`() throws {
        let token = try #require(unsafe Token(UnsafeBufferPointer(start: nil, count: 0)))
        let long = [UInt8](repeating: 1, count: 150)
        let brief = [UInt8](repeating: 2, count: 60)
        let response = CoAPResponse(.badRequest, contentFormat: 0, body: long, brief: brief)
        #expect(response.fitted(requestSize: 100, token: token).body == long)
        #expect(response.fitted(requestSize: 60, token: token).body == brief)
        #expect(response.fitted(requestSize: 30, token: token).body == brief)
        #expect(response.fitted(requestSize: 99, token: token).body == brief)
        #expect(CoAPResponse(.created, body: long).fitted(requestSize: 30, token: token).body == long)
    }
}

@Suite("Paths")
struct ResourcePathTests {
    private let path = ResourcePath(["api", "v1", "provision"])

    private func matches(_ options: [String]) -> Bool {
        var bytes: [UInt8] = []
        for (index, option) in options.enumerated() {
            ResourcePath.add(option.utf8, isFirst: index == 0, to: &bytes)
        }
        return path.matches(bytes)
    }

    @Test(arguments: [["api", "v1", "provision"], ["/api/v1/provision"], ["api/v1/provision"]])
    func `an option for each segment, or one for all`(options: [String]) {
        #expect(matches(options))
    }

    @Test(arguments: [
        [], [""], ["api"], ["api", "v1"], ["api", "v1", "provision", ""], ["", "api", "v1", "provision"],
        ["api", "v1/provision"], ["api/v1", "provision"], ["API", "v1", "provision"], ["//api/v1/provision"],
        ["api/v1/provision/"], ["api", "v1", "provision2"], ["apiv1provision"],
    ]) func `nothing else`(options: [String]) {
        #expect(!matches(options))
    }
}
