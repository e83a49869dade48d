internal import EventLoop
internal import Glibc
internal import JSON

/// When something happened, by the wall clock, for people.
struct AuditTime {
    private let milliseconds: Int64

    /// Milliseconds since 1970, whatever the clock says.
    init(milliseconds: Int64) { self.milliseconds = milliseconds }

    static var now: AuditTime { AuditTime(milliseconds: Duration.sinceEpoch.milliseconds) }

    /// Writes `"at":"2026-11-24T16:20:22.123Z"` (RFC 3339, UTC), and `"clock":"unset"` when the clock cannot be right.
    func write(to json: inout JSONWriter) {
        json.member("at", Text(text))
        if milliseconds < Duration.earliestMilliseconds { json.member("clock", literal: "unset") }
    }

    /// Times outside the years 1970 to 9999 become the nearest.
    private var text: String {
        let time = min(max(milliseconds, 0), 253_402_300_799_999)
        var seconds = time_t(time / 1000)
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        let date = unsafe [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)]
        let clock = unsafe [Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec)]
        let (day, hour) = (date.map { padded($0, 2) }, clock.map { padded($0, 2) })
        return "\(day.joined(separator: "-"))T\(hour.joined(separator: ":")).\(padded(Int(time % 1000), 3))Z"
    }
}

private func padded(_ number: Int, _ width: Int) -> String {
    let digits = "\(number)"
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
