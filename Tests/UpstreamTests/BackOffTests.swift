internal import Testing
internal import Upstream

@Suite("The wait between tries") struct BackOffTests {
    @Test("doubles from 2 s to 5 min") func doubles() {
        var backOff = BackOff()
        let waits = (0..<12).map { _ in backOff.next(0.999_999) }
        #expect(waits[0] > .milliseconds(1_990) && waits[0] <= .seconds(2))
        #expect(waits[1] > .milliseconds(3_990) && waits[1] <= .seconds(4))
        #expect(waits[11] > .seconds(299) && waits[11] <= .seconds(300))
        #expect(zip(waits, waits.dropFirst()).allSatisfy { $0 <= $1 })
    }

    @Test("is at least half of that, and never the same everywhere") func differs() {
        var backOff = BackOff()
        let waits = (0..<12).map { _ in backOff.next(0) }
        #expect(waits.allSatisfy { $0 >= .seconds(1) })
        #expect(waits[0] == .seconds(1) && waits[11] == .seconds(150))
    }

    @Test("begins anew after a success") func resets() {
        var backOff = BackOff()
        for _ in 0..<10 { _ = backOff.next(0.5) }
        backOff.reset()
        #expect(backOff.next(0.5) == .milliseconds(1500))
    }
}
