internal import EventLoop
internal import JSON

/// When something happened, by the wall clock, for people.
struct AuditTime {
    private let milliseconds: Int64

    /// Milliseconds since 1970, whatever the clock says.
    init(milliseconds: Int64) { self.milliseconds = milliseconds }

    static var now: AuditTime { AuditTime(milliseconds: Duration.sinceEpoch.milliseconds) }

    /// Writes `"at":"2026-11-24T16:20:22.123Z"` (RFC 3339, UTC), and `"clock":"unset"` when the clock cannot be right.
    func write(to json: inout JSONWriter) {
        var text: [UInt8] = []
        var timestamp = Timestamp()
        timestamp.append(milliseconds, to: &text)
        json.member("at", Text(utf8: text))
        if milliseconds < Duration.earliestMilliseconds { json.member("clock", literal: "unset") }
    }
}
