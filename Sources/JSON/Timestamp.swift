/// Writes points in time as RFC 3339 text in UTC with milliseconds; computes the calendar once a second.
public struct Timestamp: Sendable {
    private var second: Int64 = -1
    private var text: [UInt8] = []

    /// One that has written nothing yet.
    public init() {}

    /// Appends 24 characters, such as `2026-11-24T16:20:22.123Z`; times outside the years 1970 to 9999 become the nearest.
    public mutating func append(_ milliseconds: Int64, to bytes: inout [UInt8]) {
        let time = min(max(milliseconds, 0), 253_402_300_799_999)
        if time / 1000 != second { format(second: time / 1000) }
        bytes.append(contentsOf: text)
        bytes.append(digits: time % 1000, width: 3)
        bytes.append(UInt8(ascii: "Z"))
    }

    private mutating func format(second: Int64) {
        self.second = second
        let (days, clock) = second.quotientAndRemainder(dividingBy: 86_400)
        // The year begins in March here, so that the leap day is its last; eras of 400 years have 146,097 days each.
        let (era, day) = (days + 719_468).quotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        text.removeAll(keepingCapacity: true)
        text.append(digits: year, width: 4)
        text.append(UInt8(ascii: "-"))
        text.append(digits: month, width: 2)
        text.append(UInt8(ascii: "-"))
        text.append(digits: dayOfYear - (153 * shifted + 2) / 5 + 1, width: 2)
        text.append(UInt8(ascii: "T"))
        text.append(digits: clock / 3600, width: 2)
        text.append(UInt8(ascii: ":"))
        text.append(digits: clock / 60 % 60, width: 2)
        text.append(UInt8(ascii: ":"))
        text.append(digits: clock % 60, width: 2)
        text.append(UInt8(ascii: "."))
    }
}

extension [UInt8] {
    /// Appends so many decimal digits of a number that is not negative.
    fileprivate mutating func append(digits number: Int64, width: Int) {
        var divisor: Int64 = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }
}
