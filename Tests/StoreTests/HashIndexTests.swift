internal import TestSupport
internal import Testing

@testable internal import Store

/// A plain index to compare with.
private struct Model {
    var offsets: [[UInt8]: Set<UInt64>] = [:]
    var count: Int { offsets.values.reduce(0) { $0 + $1.count } }
}

@Suite("The index of a log")
struct HashIndexTests {
    /// Few keys meet often, many make it grow; every seed must do.
    @Test(arguments: [(3, 0), (50, 1), (700, 2), (20_000, UInt64.max)] as [(Int, UInt64)])
    func `it finds what a dictionary finds, over 20,000 random steps`(keys: Int, seed: UInt64) {
        var random = SeededNumbers(state: seed &+ UInt64(keys))
        var index = HashIndex(seed: seed)
        var model = Model()
        var nextOffset: UInt64 = 1
        for step in 0..<20_000 {
            let key = key(Int.random(in: 0..<keys, using: &random))
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                guard model.offsets[key, default: []].count < 40 else { continue }
                nextOffset += UInt64.random(in: 1...500, using: &random)
                index.insert(key, at: nextOffset)
                model.offsets[key, default: []].insert(nextOffset)
            case 5..<8:
                guard let offset = model.offsets[key]?.min() else {
                    index.remove(key, at: nextOffset)
                    break
                }
                index.remove(key, at: offset)
                model.offsets[key]?.remove(offset)
            default: break
            }
            // A candidate more may be there: keys are not kept.
            if !model.offsets[key, default: []].isSubset(of: index.candidates(key)) {
                Issue.record("step \(step): a key is lost")
                return
            }
        }
        #expect(index.count == model.count)
        for (key, offsets) in model.offsets {
            let found = index.candidates(key)
            #expect(offsets.isSubset(of: found) && found.count <= offsets.count + 2)
        }
    }

    @Test func `all that was put in can be taken out again, in any order`() {
        var random = SeededNumbers(state: 8)
        var index = HashIndex(seed: 77)
        var keys = Array(0..<5000)
        for number in keys { index.insert(key(number), at: UInt64(number + 1)) }
        #expect(index.count == 5000)
        keys.shuffle(using: &random)
        for (position, number) in keys.enumerated() {
            index.remove(key(number), at: UInt64(number + 1))
            #expect(!index.candidates(key(number)).contains(UInt64(number + 1)))
            let last = keys[keys.count - 1]
            #expect(index.candidates(key(last)).contains(UInt64(last + 1)) == (position < keys.count - 1))
        }
        #expect(index.count == 0)
    }

    @Test func `one key may have many offsets, and only the named one goes`() {
        var index = HashIndex(seed: 1)
        let one = key(1)
        for offset in UInt64(1)...200 { index.insert(one, at: offset) }
        #expect(index.candidates(one).sorted() == Array(1...200))
        index.remove(one, at: 100)
        index.remove(one, at: 100)
        index.remove(one, at: 1000)
        #expect(Set(index.candidates(one)) == Set(1...200).subtracting([100]))
        #expect(index.count == 199)
    }

    @Test func `offsets of up to 64 GiB and keys of any length are kept`() {
        var index = HashIndex(seed: 5)
        let keys: [[UInt8]] = [[], [0], [UInt8](repeating: 0xFF, count: 70_000)]
        for (number, key) in keys.enumerated() { index.insert(key, at: HashIndex.maximumOffset - UInt64(number)) }
        for (number, key) in keys.enumerated() {
            #expect(index.candidates(key) == [HashIndex.maximumOffset - UInt64(number)])
        }
        #expect(HashIndex.maximumOffset == 68_719_476_735)
    }

    @Test func `an empty index finds nothing and loses nothing`() {
        var index = HashIndex(seed: 0)
        index.remove([1], at: 1)
        #expect(index.candidates([1]).isEmpty)
        #expect(index.count == 0)
    }

    private func key(_ number: Int) -> [UInt8] { Array("device \(number)".utf8) }
}
