/// Where the lines of a log were before a compaction, while offsets of then are still in use.
///
/// Offsets carry in bit 35 which of two files they mean, so those of before and after are never mixed up.
public struct LogMove: Sendable {
    let file: LogFile
    let oldBase: UInt64
    let newBase: UInt64
    let result: Compaction.Result

    /// How many lines were copied one by one.
    public var count: Int { result.olds.count }

    /// The offsets of the line of this index, before and after.
    public func line(_ index: Int) -> (old: UInt64, new: UInt64) {
        (oldBase | result.olds[index], newBase | result.news[index])
    }

    /// Where the lines begin, by their new offsets, that were appended during the compaction.
    public var tail: UInt64 { newBase | result.tailNew }

    /// The old offset of a line of the tail.
    public func old(ofTail offset: UInt64) -> UInt64 { oldBase | (offset - newBase - result.tailNew + result.tailOld) }

    /// The new offset of the first line that was at the old offset or behind it.
    func new(from old: UInt64) -> UInt64 {
        let place = old - oldBase
        if place >= result.tailOld { return newBase | (place - result.tailOld + result.tailNew) }
        var (low, high) = (0, result.olds.count)
        while low < high {
            let middle = (low + high) / 2
            if result.olds[middle] < place { low = middle + 1 } else { high = middle }
        }
        return newBase | (low < result.news.count ? result.news[low] : result.tailNew)
    }
}

extension Log {
    /// What tells the two files apart in an offset; no file is that long.
    public static let half: UInt64 = 1 << 35

    /// How many records are in it, staged ones included.
    public var records: UInt64 { countedRecords + (seq - countedSeq) }

    /// The offset that a line has now.
    public func current(_ offset: UInt64) -> UInt64 {
        guard offset & Self.half != base, let move else { return offset }
        return move.new(from: offset)
    }

    /// Lets go of the offsets of before the compaction.
    public func endMove() { move = nil }

    /// Goes on in the file that a compaction made; nothing is in flight.
    func take(_ result: Compaction.Result) {
        move = LogMove(file: file, oldBase: base, newBase: base ^ Self.half, result: result)
        base ^= Self.half
        file = result.file
        size = result.size
        (countedRecords, countedSeq) = (UInt64(result.olds.count), result.seq)
    }
}
