public import JSON

/// The rules for names of devices (protocol.md 1 and 4.9).
public enum DeviceName {
    /// The longest name, in UTF-16 units as ThingsBoard counts.
    public static let maximumLength = 255

    /// The name without the characters up to U+0020 at both ends.
    public static func trimmed(_ name: Text) -> Text {
        guard let first = name.utf8.firstIndex(where: { $0 > 0x20 }),
            let last = name.utf8.lastIndex(where: { $0 > 0x20 })
        else { return "" }
        return first == 0 && last == name.utf8.count - 1 ? name : Text(utf8: Array(name.utf8[first...last]))
    }

    /// Why the name is refused; nil when it is fine.
    public static func fault(_ name: Text) -> String? {
        if name.isEmpty { return "Device name should be specified!" }
        if trimmed(name) != name {
            return "Validation error: name begins or ends with a blank, which no device can ask for"
        }
        // Each character is one unit, but for those of four bytes, which are two.
        let units = name.utf8.count { $0 & 0xC0 != 0x80 } + name.utf8.count { $0 >= 0xF0 }
        if units > maximumLength { return "Validation error: name length must be equal or less than 255" }
        if name.utf8.contains(0) || hasTemplate(name.utf8[...]) || hasMarkup(name.utf8) {
            return "Validation error: name is malformed"
        }
        return nil
    }

    /// `{{…}}`, which templates upstream would expand.
    private static func hasTemplate(_ name: ArraySlice<UInt8>) -> Bool {
        guard let open = name.firstRange(of: Array("{{".utf8)) else { return false }
        return name[open.upperBound...].firstRange(of: Array("}}".utf8)) != nil
    }

    /// `<` with a letter, `/`, `!` or `?` behind it: what a browser could take for a tag.
    private static func hasMarkup(_ name: [UInt8]) -> Bool {
        zip(name, name.dropFirst()).contains { character, next in
            guard character == UInt8(ascii: "<") else { return false }
            return "/!?".utf8.contains(next) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(next | 0x20)
        }
    }
}
