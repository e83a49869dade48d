/// Lets a number of lines through at once and so many a second from then on; counts, by kind, those it leaves out.
///
/// It keeps one moment, as the generic cell rate algorithm does (ITU-T I.371): when the lines so far would have been
/// through at the steady rate.
struct FloodGate {
    /// How long entries are counted before one line says how many there were.
    static let countingTime = Duration.seconds(1)

    private let interval: Duration
    private let burst: Duration
    private var steady = Duration.zero
    private var leftOut: [AuditEntry.Kind: Int] = [:]
    /// When the counts are due; nil when there are none.
    private(set) var due: Duration?

    /// A gate for the given rates.
    ///
    /// - Parameters:
    ///   - burst: lines that may come at once; at least 1.
    ///   - perSecond: lines a second in the long run; at least 1.
    init(burst: Int, perSecond: Int) {
        interval = .seconds(1) / perSecond
        self.burst = interval * (burst - 1)
    }

    /// Whether this entry gets a line of its own; if not, it is counted.
    mutating func admits(_ kind: AuditEntry.Kind, now: Duration) -> Bool {
        steady = max(steady, now)
        guard steady - now > burst else {
            steady += interval
            return true
        }
        leftOut[kind, default: 0] += 1
        due = due ?? now + Self.countingTime
        return false
    }

    /// Hands out the counts and begins anew.
    mutating func takeCounts() -> [(kind: AuditEntry.Kind, count: Int)] {
        defer {
            leftOut.removeAll(keepingCapacity: true)
            due = nil
        }
        return leftOut.map { ($0.key, $0.value) }.sorted { $0.count > $1.count }
    }
}
