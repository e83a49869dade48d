/// Writes points in time as RFC 3339 text in UTC with milliseconds; computes the calendar once a second.
struct Timestamp {
    private var second: Int64 = -1
    private var text: [UInt8] = []

    /// Appends 24 characters, such as `2026-11-24T16:20:22.123Z`; times outside the years 1970 to 9999 become the nearest.
    mutating func append(_ milliseconds: Int64, to bytes: inout [UInt8]) {
        let time = min(max(milliseconds, 0), 253_402_300_799_999)
        if time / 1000 != second { format(second: time / 1000) }
        bytes.append(contentsOf: text)
        bytes.appendDigits(UInt64(time % 1000), width: 3)
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
        text.appendDigits(UInt64(year), width: 4)
        text.append(UInt8(ascii: "-"))
        text.appendDigits(UInt64(month), width: 2)
        text.append(UInt8(ascii: "-"))
        text.appendDigits(UInt64(dayOfYear - (153 * shifted + 2) / 5 + 1), width: 2)
        text.append(UInt8(ascii: "T"))
        text.appendDigits(UInt64(clock / 3600), width: 2)
        text.append(UInt8(ascii: ":"))
        text.appendDigits(UInt64(clock / 60 % 60), width: 2)
        text.append(UInt8(ascii: ":"))
        text.appendDigits(UInt64(clock % 60), width: 2)
        text.append(UInt8(ascii: "."))
    }
}
