internal import CXXHash

/// Finds offsets in a log by the hash of a key: 8 bytes a slot, nothing else in memory.
///
/// Open addressing with linear probing. A slot holds 28 bits of a seeded hash and 36 bits of offset (64 GiB); keys are
/// not kept, so whoever looks up compares the full key in the record. The seed differs from run to run, so nobody can
/// choose keys that meet in one place. It is made of parts that grow each by itself: no insertion waits for all of them.
struct HashIndex {
    /// The largest offset that a slot can hold.
    static let maximumOffset: UInt64 = 1 << 36 - 1

    private var parts: [Part]
    private let seed: UInt64
    /// Keys in it.
    private(set) var count = 0

    /// An empty index.
    init(seed: UInt64) {
        self.seed = seed
        parts = Array(repeating: Part(), count: 1 << Part.bitsOfNumber)
    }

    /// The offsets under which the key may be: all that have it, and rarely one that has not.
    func candidates(_ key: [UInt8]) -> [UInt64] {
        let tag = tag(key)
        return parts[Part.number(tag)].candidates(tag)
    }

    /// Adds a key; an offset of 0 is no offset, since a log begins with its head.
    mutating func insert(_ key: [UInt8], at offset: UInt64) {
        precondition(offset > 0 && offset <= Self.maximumOffset)
        let tag = tag(key)
        parts[Part.number(tag)].insert(tag << 36 | offset)
        count += 1
    }

    /// Takes out a key that was inserted with this offset.
    mutating func remove(_ key: [UInt8], at offset: UInt64) {
        let tag = tag(key)
        if parts[Part.number(tag)].remove(tag << 36 | offset) { count -= 1 }
    }

    /// Puts other offsets in the place of those that it holds.
    mutating func renew(_ offset: (UInt64) -> UInt64) {
        for index in parts.indices { parts[index].renew(offset) }
    }

    /// How many keys have their offset at or behind the given one.
    func count(from offset: UInt64) -> Int { parts.reduce(0) { $0 + $1.count(from: offset) } }

    private func tag(_ key: [UInt8]) -> UInt64 {
        unsafe XXH3_64bits_withSeed(key, key.count, seed) >> 36
    }
}

/// The slots of all tags that begin with the same bits.
private struct Part {
    static let bitsOfNumber: UInt64 = 6
    private static let bitsOfTag: UInt64 = 28

    private var slots: [UInt64] = [0, 0, 0, 0]
    private var bits: UInt64 = 2
    private var count = 0

    /// The part that a tag belongs to.
    static func number(_ tag: UInt64) -> Int { Int(truncatingIfNeeded: tag >> (bitsOfTag - bitsOfNumber)) }

    func candidates(_ tag: UInt64) -> [UInt64] {
        var found: [UInt64] = []
        var slot = home(tag)
        while slots[slot] != 0 {
            if slots[slot] >> 36 == tag { found.append(slots[slot] & HashIndex.maximumOffset) }
            slot = next(slot)
        }
        return found
    }

    mutating func insert(_ entry: UInt64) {
        if (count + 1) * 4 > slots.count * 3 { grow() }
        place(entry)
        count += 1
    }

    /// Takes out an entry; returns whether it was there.
    mutating func remove(_ entry: UInt64) -> Bool {
        var slot = home(entry >> 36)
        while slots[slot] != entry {
            guard slots[slot] != 0 else { return false }
            slot = next(slot)
        }
        // Closes the gap, so that no probe ends at it too early.
        var gap = slot
        slots[gap] = 0
        slot = next(slot)
        while slots[slot] != 0 {
            let distance = (slot &- home(slots[slot] >> 36)) & (slots.count - 1)
            if distance >= (slot &- gap) & (slots.count - 1) {
                slots[gap] = slots[slot]
                slots[slot] = 0
                gap = slot
            }
            slot = next(slot)
        }
        count -= 1
        return true
    }

    mutating func renew(_ offset: (UInt64) -> UInt64) {
        for slot in slots.indices where slots[slot] != 0 {
            let entry = slots[slot]
            slots[slot] = entry & ~HashIndex.maximumOffset | offset(entry & HashIndex.maximumOffset)
        }
    }

    func count(from offset: UInt64) -> Int {
        var count = 0
        for entry in slots where entry != 0 && entry & HashIndex.maximumOffset >= offset { count += 1 }
        return count
    }

    private mutating func grow() {
        let old = slots
        bits += 1
        slots = Array(repeating: 0, count: 1 << Int(bits))
        for entry in old where entry != 0 { place(entry) }
    }

    private mutating func place(_ entry: UInt64) {
        var slot = home(entry >> 36)
        while slots[slot] != 0 { slot = next(slot) }
        slots[slot] = entry
    }

    private func home(_ tag: UInt64) -> Int {
        let rest = tag << Self.bitsOfNumber & (1 << Self.bitsOfTag - 1)
        // Beyond 22 bits the tag has no more to give; probes then grow longer, nothing breaks.
        return Int(
            truncatingIfNeeded: bits <= Self.bitsOfTag
                ? rest >> (Self.bitsOfTag - bits) : rest << (bits - Self.bitsOfTag))
    }

    private func next(_ slot: Int) -> Int { (slot + 1) & (slots.count - 1) }
}
