internal import JSON
internal import Testing

@testable internal import Upstream

@Suite("Devices that wait")
struct WaitsTests {
    @Test func `each comes when its time has come, and once`() {
        var waits = Waits()
        waits.add("b", until: .seconds(2))
        waits.add("a", until: .seconds(1))
        waits.add("c", until: .seconds(3))
        // The last word counts.
        waits.add("a", until: .seconds(4))
        waits.end("c")
        #expect(waits.contains("a") && !waits.contains("c"))
        #expect(waits.next(at: .seconds(1)) == nil)
        #expect(waits.first == .seconds(2))
        #expect(waits.next(at: .seconds(3)) == "b")
        #expect(waits.next(at: .seconds(3)) == nil)
        #expect(waits.next(at: .seconds(4)) == "a")
        #expect(waits.next(at: .seconds(9)) == nil && waits.first == nil)
    }

    /// It stood before the others until its time had come.
    @Test func `a wait that does not count any more holds up nobody`() {
        var waits = Waits()
        waits.add("a", until: .seconds(5))
        waits.add("a", until: .seconds(9))
        waits.add("b", until: .seconds(6))
        waits.endAll()
        #expect(waits.next(at: .seconds(1)) == "b")
        #expect(waits.next(at: .seconds(1)) == "a")
        #expect(waits.next(at: .seconds(20)) == nil && waits.first == nil)
    }

    @Test func `all come at once when they shall`() {
        var waits = Waits()
        waits.add("a", until: .seconds(5))
        waits.add("b", until: .seconds(6))
        waits.endAll()
        #expect(waits.first == .zero)
        #expect(waits.next(at: .seconds(1)) == "a")
        #expect(waits.next(at: .seconds(1)) == "b")
    }
}
