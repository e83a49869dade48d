internal import JSON
internal import Testing

@testable internal import Audit

@Suite("A flood of audit lines")
struct FloodGateTests {
    private let taken = AuditEntry.Kind(face: "http", result: .refused, reason: "NAME_TAKEN")
    private let unknown = AuditEntry.Kind(face: "coap", result: .refused, reason: "NOT_FOUND")

    @Test func `a burst gets its lines, what is above is counted by kind`() {
        var gate = FloodGate(burst: 3, perSecond: 1)
        let now = Duration.seconds(1000)
        let admitted = (0..<10).map { _ in gate.admits(taken, now: now) }
        #expect(admitted == [true, true, true] + Array(repeating: false, count: 7))
        let isOther = gate.admits(unknown, now: now)
        #expect(!isOther)
        #expect(gate.due == now + .seconds(1))
        let counts = gate.takeCounts()
        #expect(counts.map(\.kind) == [taken, unknown])
        #expect(counts.map(\.count) == [7, 1])
        #expect(gate.due == nil)
        let rest = gate.takeCounts()
        #expect(rest.isEmpty)
    }

    @Test func `in the long run it is so many a second`() {
        var gate = FloodGate(burst: 5, perSecond: 10)
        let admitted = (0..<10_000).filter { gate.admits(taken, now: .milliseconds($0)) }.count
        #expect((104...106).contains(admitted))
    }

    @Test(arguments: [1, 2, 50]) func `a quiet time gives one burst back, not more`(burst: Int) {
        var gate = FloodGate(burst: burst, perSecond: 10)
        for hour in 1...3 {
            let now = Duration.seconds(3600 * hour)
            let admitted = (0..<200).filter { _ in gate.admits(taken, now: now) }.count
            #expect(admitted == burst)
        }
    }
}
