internal import TestSupport
internal import Testing

@testable internal import Store

/// The rule of repeat windows, as plainly as it can be said.
private struct Model {
    var settled: UInt64 = 0
    var times: [UInt64: UInt64] = [:]

    func seconds(since seq: UInt64, now: UInt64) -> UInt64? {
        guard seq > settled, let time = times.filter({ $0.key >= seq }).min(by: { $0.key < $1.key })?.value else {
            return nil
        }
        return now - time
    }

    mutating func settle(longest: UInt64, seq: UInt64, now: UInt64) {
        let over = times.filter { $0.value + longest <= now }
        settled = max(settled, over.keys.max() ?? 0)
        for seq in over.keys { times[seq] = nil }
        if times.isEmpty { settled = seq }
    }
}

@Suite("Repeat windows")
struct RepeatWindowsTests {
    @Test func `seconds count from the record`() {
        var windows = RepeatWindows(settled: 0, seq: 0, now: 100)
        #expect(!windows.isOpen)
        windows.provisioned(seq: 1, now: 100)
        windows.provisioned(seq: 3, now: 105)
        #expect(windows.isOpen)
        #expect(windows.seconds(since: 1, now: 110) == 10)
        #expect(windows.seconds(since: 3, now: 110) == 5)
        #expect(windows.seconds(since: 4, now: 110) == nil)
        #expect(windows.seconds(since: 3, now: 104) == 0)
    }

    @Test func `what is older than the longest window is settled for good`() {
        var windows = RepeatWindows(settled: 0, seq: 0, now: 0)
        for (seq, now) in [(1, 100), (2, 150), (3, 200)] as [(UInt64, UInt64)] {
            windows.provisioned(seq: seq, now: now)
        }
        windows.settle(longest: 60, seq: 3, now: 159)
        #expect(windows.settled == 0)
        windows.settle(longest: 60, seq: 3, now: 160)
        #expect(windows.settled == 1)
        #expect(windows.seconds(since: 1, now: 160) == nil)
        #expect(windows.seconds(since: 2, now: 160) == 10)
        windows.settle(longest: 600, seq: 3, now: 161)
        #expect(windows.settled == 1)
        windows.settle(longest: 0, seq: 9, now: 300)
        #expect(windows.settled == 9)
        #expect(!windows.isOpen)
    }

    @Test func `after a restart the settled stay over and the others begin anew`() {
        let windows = RepeatWindows(settled: 5, seq: 8, now: 1000)
        #expect(windows.isOpen)
        #expect([4, 5].allSatisfy { windows.seconds(since: $0, now: 1000) == nil })
        #expect([6, 7, 8].allSatisfy { windows.seconds(since: $0, now: 1001) == 1 })
        #expect(!RepeatWindows(settled: 8, seq: 8, now: 1000).isOpen)
        let ahead = RepeatWindows(settled: 100, seq: 8, now: 1000)
        #expect(ahead.settled == 8)
        #expect(!ahead.isOpen)
    }

    @Test func `random times give what a plain list gives`() {
        var random = SeededNumbers(state: 31)
        var windows = RepeatWindows(settled: 0, seq: 0, now: 0)
        var model = Model()
        var (seq, now) = (UInt64(0), UInt64(1000))
        for _ in 0..<3000 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0: now += UInt64.random(in: 0...9, using: &random)
            case 1, 2:
                seq += 1
                windows.provisioned(seq: seq, now: now)
                model.times[seq] = now
            case 3: seq += 1
            case 4:
                let longest = UInt64.random(in: 0...60, using: &random)
                windows.settle(longest: longest, seq: seq, now: now)
                model.settle(longest: longest, seq: seq, now: now)
            default: break
            }
            #expect(windows.settled == model.settled)
            #expect(windows.isOpen == !model.times.isEmpty)
            guard let asked = model.times.keys.randomElement(using: &random) else { continue }
            #expect(windows.seconds(since: asked, now: now) == model.seconds(since: asked, now: now))
        }
    }
}

@Suite("The gate of replies")
struct ReplyGateTests {
    @Test func `replies leave in the order in which they came, when their position is reached`() {
        var gate = ReplyGate()
        var left: [Int] = []
        for (number, position) in [(1, 5), (2, 5), (3, 7), (4, 9)] as [(Int, UInt64)] {
            gate.hold(until: position) { _ in left.append(number) }
        }
        let early = gate.next(through: 4) != nil
        #expect(!early)
        while let reply = gate.next(through: 5) { reply(nil) }
        #expect(left == [1, 2])
        while let reply = gate.next(through: 8) { reply(nil) }
        #expect(left == [1, 2, 3])
        while let reply = gate.next(through: 100) { reply(nil) }
        #expect(left == [1, 2, 3, 4])
    }

    @Test func `a reply may hold the next one while it leaves`() {
        var gate = ReplyGate()
        var left: [Int] = []
        gate.hold(until: 1) { _ in left.append(1) }
        gate.hold(until: 1) { _ in left.append(2) }
        while let reply = gate.next(through: 1) {
            reply(nil)
            if left.count == 1 { gate.hold(until: 2) { _ in left.append(3) } }
        }
        #expect(left == [1, 2])
        while let reply = gate.next(through: 2) { reply(nil) }
        #expect(left == [1, 2, 3])
    }

    @Test func `all that wait are handed out once when what they rest on is taken back`() {
        var gate = ReplyGate()
        var left: [Int] = []
        for number in 1...4 { gate.hold(until: UInt64(number)) { _ in left.append(number) } }
        gate.next(through: 1)?(nil)
        for reply in gate.takeAll() { reply(nil) }
        #expect(left == [1, 2, 3, 4])
        let rest = gate.takeAll().count
        #expect(rest == 0)
        gate.hold(until: 1) { _ in left.append(5) }
        gate.next(through: 1)?(nil)
        #expect(left.last == 5)
    }

    @Test func `a reply that left is not kept alive`() {
        final class Held {}
        var gate = ReplyGate()
        weak var held: Held?
        do {
            let object = Held()
            held = object
            gate.hold(until: 1) { _ in _ = object }
        }
        #expect(held != nil)
        while let reply = gate.next(through: 1) { reply(nil) }
        #expect(held == nil)
    }
}

@Suite("Marks in the logs")
struct MarksTests {
    @Test func `a mark comes two seconds after the last change that is on disk`() {
        var marks = Marks(profiles: 0, devices: 0, settled: 0)
        marks.touched(at: 100)
        #expect(!marks.wantsProfiles(durable: 0, now: 200))
        #expect(!marks.wantsProfiles(durable: 1, now: 101))
        #expect(marks.wantsProfiles(durable: 1, now: 102))
        marks.profiles = 1
        #expect(!marks.wantsProfiles(durable: 1, now: 102))
        #expect(!marks.wantsDevices(durable: 1, settled: 0, windowsOpen: true, now: 101))
        #expect(marks.wantsDevices(durable: 1, settled: 0, windowsOpen: true, now: 102))
        marks.noted(devices: 1, settled: 0, now: 102)
        #expect(!marks.wantsDevices(durable: 1, settled: 0, windowsOpen: true, now: 500))
    }

    @Test func `windows that run out one by one share a mark a minute, the last is noted at once`() {
        var marks = Marks(profiles: 0, devices: 9, settled: 3)
        marks.noted(devices: 9, settled: 3, now: 100)
        #expect(!marks.wantsDevices(durable: 9, settled: 3, windowsOpen: false, now: 500))
        #expect(!marks.wantsDevices(durable: 9, settled: 4, windowsOpen: true, now: 159))
        #expect(marks.wantsDevices(durable: 9, settled: 4, windowsOpen: true, now: 160))
        #expect(marks.wantsDevices(durable: 9, settled: 9, windowsOpen: false, now: 101))
    }
}
