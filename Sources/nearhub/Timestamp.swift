internal import Glibc

/// A time as `2026-03-14T09:26:53Z` (ISO 8601, UTC); nil for one beyond the calendar.
///
/// - Parameter milliseconds: since 1970.
func timestamp(_ milliseconds: Int64) -> String? {
    var seconds = time_t(milliseconds.quotientRoundedDown(by: 1000))
    var parts = unsafe tm()
    guard unsafe gmtime_r(&seconds, &parts) != nil else { return nil }
    let date =
        unsafe "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1))-\(padded(Int(parts.tm_mday)))"
    return unsafe "\(date)T\(padded(Int(parts.tm_hour))):\(padded(Int(parts.tm_min))):\(padded(Int(parts.tm_sec)))Z"
}

/// A span of time as `3 d 4 h`, `4 h 5 min`, `5 min 6 s` or `6 s`.
func span(seconds: Int64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400)
    return switch seconds {
    case ..<60: "\(seconds) s"
    case ..<3600: "\(minutes) min \(seconds % 60) s"
    case ..<86400: "\(hours) h \(minutes % 60) min"
    default: "\(days) d \(hours % 24) h"
    }
}

private func padded(_ number: Int, _ width: Int = 2) -> String {
    let digits = "\(number)"
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

extension Int64 {
    fileprivate func quotientRoundedDown(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
