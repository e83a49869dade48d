internal import EventLoop
internal import TestSupport
internal import Testing

@testable internal import Journal

@Suite("Recovery of any bytes")
struct FuzzTests {
    /// Lines that fit together now and then, and often do not.
    private func lines(_ numbers: inout SeededNumbers) -> [UInt8] {
        var bytes = Bool.random(using: &numbers) ? head : CompactedLogTests.head
        var seq: UInt64 = 0
        var durable: UInt64 = 0
        for _ in 0..<Int.random(in: 0...8, using: &numbers) {
            switch Int.random(in: 0..<12, using: &numbers) {
            case 0: bytes += line(#""mark":"sync","durable":\#(seq)"#)
            case 1: bytes += CompactedLogTests.seal(Int(seq), Int.random(in: 0...3, using: &numbers))
            case 2: seq += 1
            case 3: durable = seq
            case 4: bytes += Array("{\"seq\":".utf8)
            default: break
            }
            seq += 1
            bytes += record(seq, durable: durable)
        }
        return bytes
    }

    /// Damages of the kinds that power cuts, rot and editors make.
    private func damage(_ bytes: inout [UInt8], _ numbers: inout SeededNumbers) {
        guard !bytes.isEmpty else { return }
        let start = Int.random(in: 0..<bytes.count, using: &numbers)
        let end = min(bytes.count, start + Int.random(in: 1...300, using: &numbers))
        switch Int.random(in: 0..<7, using: &numbers) {
        case 0: bytes[start] ^= UInt8.random(in: 1...255, using: &numbers)
        case 1: bytes.removeSubrange(start..<end)
        case 2: bytes.replaceSubrange(start..<end, with: [UInt8](repeating: 0, count: end - start))
        case 3: bytes.insert(contentsOf: bytes[start..<end], at: start)
        case 4: bytes.removeSubrange(start...)
        case 5: bytes.append(contentsOf: (0..<40).map { _ in UInt8.random(in: 0...255, using: &numbers) })
        default: bytes[start] = 0x0A
        }
    }

    @Test func `any bytes get the verdict that the rules give, and recovery reaches an end`() throws {
        let directory = try TemporaryDirectory()
        var numbers = SeededNumbers(state: 2026)
        let start = Duration.monotonic
        var rounds = 0
        while rounds < 20_000, .monotonic - start < .seconds(2) {
            rounds += 1
            var bytes = lines(&numbers)
            for _ in 0..<Int.random(in: 0...3, using: &numbers) { damage(&bytes, &numbers) }
            try directory.put(bytes)
            let expected = Verdict(bytes)
            guard try verdict(directory) == expected else {
                Issue.record("round \(rounds): \(String(describing: try verdict(directory))), not \(expected)")
                return
            }
            guard case .good(let seqs, _) = expected else { continue }
            let fresh = try TemporaryDirectory()
            try fresh.put(bytes)
            #expect(try open(fresh).seqs.map(Int64.init) == seqs)
            let again = try open(fresh)
            #expect(again.seqs.map(Int64.init) == seqs)
            #expect(again.recovery.torn == nil && again.recovery.rewrittenFrom == nil)
        }
    }

    @Test func `noise crashes nothing`() throws {
        let directory = try TemporaryDirectory()
        var numbers = SeededNumbers(state: 1)
        for _ in 0..<200 {
            let alphabet = Array("{}\"seqmark:,xh30\n\0\u{7F}".utf8)
            let bytes = (0..<Int.random(in: 0...2000, using: &numbers)).map { _ in
                alphabet.randomElement(using: &numbers) ?? 0
            }
            try directory.put(bytes)
            #expect(try verdict(directory) == Verdict(bytes))
        }
    }
}
