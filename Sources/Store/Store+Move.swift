internal import EventLoop
internal import JSON
internal import Journal
internal import Provisioning

/// How far the index has followed a log that was written anew.
struct Following {
    /// The next of the lines that were copied one by one.
    var index = 0
    /// The next of the lines behind them; nil before the first.
    var tail: UInt64?
    /// All that is in use under an old offset is on disk when this record is.
    var seq: UInt64
    /// Old offsets go when this is on disk.
    var end: UInt64?
}

extension Store {
    /// Begins to write the logs anew without what later lines have replaced, while they are used.
    ///
    /// - Returns: false when a compaction is under way, or the disk takes no writes.
    public func compact() -> Bool {
        journal.compact(devicesLog) { $0["device"]?["id"]?.text }
    }

    /// Begins to write devices.jsonl anew when more than half of it has been replaced and it is over 1 MiB.
    func compactIfWorthwhile() {
        guard devicesLog.size > 1 << 20, devicesLog.records > 2 * UInt64(deviceCount), damagedLines.isEmpty,
            monotonicSeconds() >= compactionPause, compact()
        else { return }
    }

    func compacted(_ log: Log, _ error: JournalError?) {
        if error != nil {
            compactionPause = monotonicSeconds() + 3600
        } else {
            following = Following(seq: log.seq)
        }
        onCompaction?(log.name, log.size, error)
    }

    /// Follows the log for 2 ms at most; true when there is more to do at once.
    func follow() -> Bool {
        guard var step = following, let move = devicesLog.move else { return false }
        defer { following = devicesLog.move == nil ? nil : step }
        let deadline = Duration.monotonic + .milliseconds(2)
        while step.index < move.count {
            let (old, new) = move.line(step.index)
            if let device = try? read(new) { registry.move(device, from: old, to: new) }
            step.index += 1
            if step.index % 16 == 0, .monotonic > deadline { return true }
        }
        guard devicesLog.durableSeq >= step.seq else { return false }
        var next = step.end == nil ? step.tail ?? move.tail : nil
        while let offset = next {
            var isBehind = false
            next = try? devicesLog.records(from: offset, limit: 16) { (record) throws(JournalError) in
                isBehind = record.seq > step.seq
                guard !isBehind, let device = try? Device(record) else { return }
                registry.move(device, from: move.old(ofTail: record.offset), to: record.offset)
            }
            step.tail = next
            if isBehind { break }
            if next != nil, .monotonic > deadline { return true }
        }
        let end = step.end ?? journal.position
        step.end = end
        if journal.durablePosition >= end { devicesLog.endMove() }
        return false
    }

    /// Begins to follow again: changes that were taken back may have brought old offsets back.
    func followAgain() {
        if following != nil { following = Following(seq: devicesLog.seq) }
    }
}

extension Registry {
    /// Gives a device's line another offset, if it still has this one.
    mutating func move(_ device: Device, from old: UInt64, to new: UInt64) {
        byId.move(device.id.utf8, from: old, to: new)
        byName.move(device.name.utf8, from: old, to: new)
        byCredentialsId.move(device.credentials.id.utf8, from: old, to: new)
    }
}
