internal import Testing

@testable import CoAPServer

@Suite("Bodies in blocks")
struct BlockAssemblyTests {
    private typealias Key = TransferTable<[UInt8]>.Key

    /// Sends a body in blocks of the given exponent, and answers the last outcome.
    private func send(
        _ body: [UInt8], exponent: UInt8, size1: UInt32? = nil, from key: Key = key(1), to assembly: inout BlockAssembly
    ) -> BlockAssembly.Outcome {
        var outcome = BlockAssembly.Outcome.malformed
        let size = 16 << Int(exponent)
        for number in 0..<max(1, (body.count + size - 1) / size) {
            let piece = Array(body[number * size..<min(body.count, (number + 1) * size)])
            let more = (number + 1) * size < body.count
            outcome = assembly.receive(
                BlockOption(number: UInt32(number), more: more, exponent: exponent), piece, announced: size1, from: key,
                at: .zero)
            if more, outcome != .continues { return outcome }
        }
        return outcome
    }

    @Test(arguments: UInt8(0)...6) func `every block size puts every length together`(exponent: UInt8) {
        for count in [0, 1, 15, 16, 17, 1023, 1024, 1025, 4096, 16_000] {
            let body = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            var assembly = BlockAssembly()
            #expect(send(body, exponent: exponent, to: &assembly) == .complete(body))
            #expect(send(body, exponent: exponent, size1: UInt32(count), to: &assembly) == .complete(body))
            #expect(assembly.count == 0)
        }
    }

    @Test func `65536 bytes are taken, one more is not`() {
        var assembly = BlockAssembly()
        let body = [UInt8](repeating: 7, count: 65_536)
        #expect(send(body, exponent: 6, to: &assembly) == .complete(body))
        #expect(send(body + [7], exponent: 6, to: &assembly) == .tooLarge)
        #expect(assembly.count == 0)
    }

    @Test func `a body that says it is too large is refused at its first block`() {
        var assembly = BlockAssembly()
        let block = BlockOption(number: 0, more: true, exponent: 0)
        #expect(
            assembly.receive(block, [UInt8](repeating: 0, count: 16), announced: 65_537, from: key(1), at: .zero)
                == .tooLarge)
        #expect(
            assembly.receive(block, [UInt8](repeating: 0, count: 16), announced: .max, from: key(1), at: .zero)
                == .tooLarge)
        #expect(assembly.count == 0)
    }

    @Test(arguments: UInt8(0)...6) func `the last block number there is leads nowhere, whatever the block size`(
        exponent: UInt8
    ) {
        var assembly = BlockAssembly()
        let block = BlockOption(number: 0xFFFFF, more: false, exponent: exponent)
        #expect(assembly.receive(block, [1], announced: nil, from: key(1), at: .zero) == .tooLarge)
    }

    @Test func `a block out of order is refused, and the transfer goes on behind it`() {
        var assembly = BlockAssembly()
        let piece = [UInt8](repeating: 1, count: 16)
        func receive(_ number: UInt32, more: Bool = true) -> BlockAssembly.Outcome {
            assembly.receive(
                BlockOption(number: number, more: more, exponent: 0), piece, announced: nil, from: key(1), at: .zero)
        }
        #expect(receive(1) == .incomplete)
        #expect(receive(0) == .continues)
        #expect(receive(2) == .incomplete)
        #expect(receive(1) == .continues)
        #expect(receive(1) == .incomplete)
        #expect(receive(2, more: false) == .complete(piece + piece + piece))
        #expect(receive(2, more: false) == .incomplete)
    }

    @Test func `the block size may change behind the first block`() {
        var assembly = BlockAssembly()
        let first = [UInt8](repeating: 1, count: 64)
        let second = [UInt8](repeating: 2, count: 16)
        let outcome = assembly.receive(
            BlockOption(number: 0, more: true, exponent: 2), first, announced: nil, from: key(1), at: .zero)
        #expect(outcome == .continues)
        let end = assembly.receive(
            BlockOption(number: 4, more: false, exponent: 0), second, announced: nil, from: key(1), at: .zero)
        #expect(end == .complete(first + second))
    }

    @Test func `a payload of another size than the block's is malformed`() {
        var assembly = BlockAssembly()
        for (count, more) in [(15, true), (17, true), (17, false), (0, true)] {
            let outcome = assembly.receive(
                BlockOption(number: 0, more: more, exponent: 0), [UInt8](repeating: 0, count: count), announced: nil,
                from: key(1), at: .zero)
            #expect(outcome == .malformed)
        }
    }

    @Test func `ports, Request-Tags and resources are told apart`() {
        var assembly = BlockAssembly()
        let keys: [Key] = [
            key(1), key(1, port: 2), key(1, tag: [1]), key(1, resource: 1), key(2), key(2, tag: [1]), key(3),
        ]
        for (index, key) in keys.enumerated() {
            let piece = [UInt8](repeating: UInt8(index), count: 16)
            let outcome = assembly.receive(
                BlockOption(number: 0, more: true, exponent: 0), piece, announced: nil, from: key, at: .zero)
            #expect(outcome == .continues)
        }
        for (index, key) in keys.enumerated() {
            let outcome = assembly.receive(
                BlockOption(number: 1, more: false, exponent: 0), [9], announced: nil, from: key, at: .zero)
            #expect(outcome == .complete([UInt8](repeating: UInt8(index), count: 16) + [9]))
        }
    }

    @Test func `20,000 Request-Tags of one address hold no more than four transfers`() {
        var assembly = BlockAssembly()
        let piece = [UInt8](repeating: 1, count: 1024)
        let begin = BlockOption(number: 0, more: true, exponent: 6)
        for number in 0..<20_000 {
            let tag = [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)]
            let outcome = assembly.receive(
                begin, piece, announced: nil, from: key(1, tag: tag), at: .milliseconds(number))
            #expect(outcome == .continues)
            #expect(assembly.count <= 4)
        }
    }

    @Test func `a transfer that moves survives a flood of beginnings from everywhere`() {
        var assembly = BlockAssembly()
        let piece = [UInt8](repeating: 1, count: 16)
        var now = Duration.zero
        for step in 0..<100 {
            let outcome = assembly.receive(
                BlockOption(number: UInt32(step), more: step < 99, exponent: 0), piece, announced: nil, from: key(1),
                at: now)
            #expect(step == 99 ? outcome == .complete([UInt8](repeating: 1, count: 1600)) : outcome == .continues)
            for stranger in 0..<60 {
                now += .microseconds(10)
                _ = assembly.receive(
                    BlockOption(number: 0, more: true, exponent: 0), piece, announced: nil,
                    from: key(UInt64(1000 + step * 60 + stranger)), at: now)
            }
            #expect(assembly.count <= 64)
        }
    }

    @Test func `after 30 s without a block a transfer is gone`() {
        var assembly = BlockAssembly()
        let piece = [UInt8](repeating: 1, count: 16)
        func receive(_ number: UInt32, at seconds: Int) -> BlockAssembly.Outcome {
            assembly.receive(
                BlockOption(number: number, more: true, exponent: 0), piece, announced: nil, from: key(1),
                at: .seconds(seconds))
        }
        #expect(receive(0, at: 0) == .continues)
        #expect(receive(1, at: 30) == .continues)
        #expect(receive(2, at: 61) == .incomplete)
        #expect(assembly.count == 0)
    }
}

@Suite("Block options")
struct BlockOptionTests {
    @Test func `the value is number, more and exponent`() throws {
        let block = try #require(BlockOption([0x12, 0x34, 0x5E]))
        #expect(block.number == 0x12345 && block.more && block.exponent == 6)
        #expect(block.bits == 0x12345E)
        let empty = try #require(BlockOption([]))
        #expect(empty.number == 0 && !empty.more && empty.size == 16)
    }

    @Test func `the reserved exponent and four bytes are refused`() {
        #expect(BlockOption([0x07]) == nil)
        #expect(BlockOption([0, 0, 0, 0x06]) == nil)
    }
}
