/// Knows how long ago devices were provisioned, for as long as that matters (protocol.md D4).
///
/// By the monotonic clock: a gateway without a clock battery starts in 1970. One entry a second at most, however many
/// devices come. After a restart, devices above the last `settled` mark count from the start, those below are over.
struct RepeatWindows {
    private struct Moment {
        let second: UInt64
        var seq: UInt64
    }

    /// The highest sequence number at or below which every window has run out.
    private(set) var settled: UInt64
    private var moments: [Moment]

    /// What a restart knows.
    ///
    /// - Parameters:
    ///   - settled: from the log's marks.
    ///   - seq: the log's last sequence number.
    ///   - now: monotonic seconds.
    init(settled: UInt64, seq: UInt64, now: UInt64) {
        self.settled = min(settled, seq)
        moments = settled < seq ? [Moment(second: now, seq: seq)] : []
    }

    /// Whether a window may still be open.
    var isOpen: Bool { !moments.isEmpty }

    /// Notes that the record of this number provisioned a device.
    mutating func provisioned(seq: UInt64, now: UInt64) {
        if let last = moments.last, last.second == now {
            moments[moments.count - 1].seq = seq
        } else {
            moments.append(Moment(second: now, seq: seq))
        }
    }

    /// Seconds since the record of this number was written; nil when it is settled.
    func seconds(since seq: UInt64, now: UInt64) -> UInt64? {
        guard seq > settled else { return nil }
        var low = 0
        var high = moments.count
        while low < high {
            let middle = (low + high) / 2
            if moments[middle].seq < seq { low = middle + 1 } else { high = middle }
        }
        return low < moments.count ? now - min(now, moments[low].second) : nil
    }

    /// Forgets what was noted of records above this number: they have been taken back, and their numbers come again.
    mutating func takeBack(to seq: UInt64) {
        settled = min(settled, seq)
        while let last = moments.last, last.seq > seq {
            if moments.dropLast().last?.seq ?? settled >= seq {
                moments.removeLast()
            } else {
                moments[moments.count - 1].seq = seq
            }
        }
    }

    /// Settles what is older than the longest window there is.
    ///
    /// - Parameters:
    ///   - longest: seconds.
    ///   - seq: the log's last sequence number.
    ///   - now: monotonic seconds.
    mutating func settle(longest: UInt64, seq: UInt64, now: UInt64) {
        let over = moments.prefix { $0.second + longest <= now }
        if let last = over.last { settled = last.seq }
        moments.removeFirst(over.count)
        if moments.isEmpty { settled = seq }
    }
}
