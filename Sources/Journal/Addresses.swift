/// Where in the file a line is that was at another place before a compaction.
///
/// A line keeps the address at which it was staged, or found at the start, for as long as the log is open; whoever keeps
/// addresses never has to change them. A compaction moves lines together in stretches, so this holds one entry a stretch.
struct Addresses: Sendable {
    private struct Stretch {
        /// The address of its first line.
        let address: UInt64
        /// Where in the file that is.
        let place: UInt64
    }

    /// In rising order of both.
    private var stretches = [Stretch(address: 0, place: 0)]

    /// How many stretches there are.
    var count: Int { stretches.count }

    /// Where in the file the line of an address is; nil when it went in a compaction.
    func place(of address: UInt64) -> UInt64? {
        let index = last { $0.address <= address }
        let place = stretches[index].place + (address - stretches[index].address)
        let end = index + 1 < stretches.count ? stretches[index + 1].place : .max
        return place < end ? place : nil
    }

    /// Does what `place` does for a great many addresses in any order, some ten times as fast.
    func places() -> (UInt64) -> UInt64? {
        let (stretches, last) = (stretches, stretches[stretches.count - 1].address)
        var shift: UInt64 = 0
        while last >> shift > 4 * UInt64(stretches.count) { shift += 1 }
        // For each part of the addresses the last stretch that begins before it.
        var before = [UInt32](repeating: 0, count: Int(last >> shift) + 2)
        for index in stretches.indices { before[Int(stretches[index].address >> shift) + 1] = UInt32(index) }
        for part in before.indices.dropFirst() where before[part] == 0 { before[part] = before[part - 1] }
        return { address in
            var index = Int(before[Int(min(address >> shift, UInt64(before.count - 1)))])
            while index + 1 < stretches.count, stretches[index + 1].address <= address { index += 1 }
            let place = stretches[index].place + (address - stretches[index].address)
            let end = index + 1 < stretches.count ? stretches[index + 1].place : .max
            return place < end ? place : nil
        }
    }

    /// The address of what is at a place in the file.
    func address(of place: UInt64) -> UInt64 {
        let stretch = stretches[last { $0.place <= place }]
        return stretch.address + (place - stretch.place)
    }

    /// Notes where the next line is, or the first of several that stay together.
    mutating func append(_ address: UInt64, at place: UInt64) {
        guard self.address(of: place) != address else { return }
        stretches.append(Stretch(address: address, place: place))
    }

    /// The last stretch for which the condition holds; it holds for the first one.
    private func last(_ isBefore: (Stretch) -> Bool) -> Int {
        if isBefore(stretches[stretches.count - 1]) { return stretches.count - 1 }
        var (low, high) = (0, stretches.count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if isBefore(stretches[middle]) { low = middle } else { high = middle }
        }
        return low
    }
}
