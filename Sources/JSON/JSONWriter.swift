/// Writes compact JSON straight into bytes: answers and log lines, without a tree in between.
///
/// It places the commas; the caller places names, values, beginnings and ends. Escaping is ThingsBoard's
/// (protocol.md 6.2): `"` and `\`, the short forms of control characters, `\u00xx` for the others, U+2028 and U+2029;
/// everything else, `/` among it, goes out as it is.
public struct JSONWriter: Sendable {
    /// What was written so far; may be taken, cut or emptied between whole values.
    public var bytes: [UInt8]

    /// A writer that appends to the given bytes.
    public init(_ bytes: [UInt8] = []) {
        self.bytes = bytes
    }

    /// Begins an object; its members follow.
    public mutating func beginObject() { separate(); bytes.append(UInt8(ascii: "{")) }
    /// Ends the object that began last.
    public mutating func endObject() { bytes.append(UInt8(ascii: "}")) }
    /// Begins an array; its elements follow.
    public mutating func beginArray() { separate(); bytes.append(UInt8(ascii: "[")) }
    /// Ends the array that began last.
    public mutating func endArray() { bytes.append(UInt8(ascii: "]")) }

    /// Writes the name of the member whose value follows; any text.
    public mutating func name(escaping name: Text) {
        text(name)
        bytes.append(UInt8(ascii: ":"))
    }

    /// Writes the name of the member whose value follows; a literal that needs no escapes.
    public mutating func name(_ name: StaticString) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        append(name)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(UInt8(ascii: ":"))
    }

    /// Writes a string, escaped.
    public mutating func text(_ text: Text) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        escape(text.utf8)
        bytes.append(UInt8(ascii: "\""))
    }

    /// Writes an integer of up to 64 bits.
    @inlinable
    public mutating func integer(_ value: some BinaryInteger) {
        decimal(UInt64(clamping: value.magnitude), isNegative: value < 0)
    }

    /// Writes an integer given by its digits and its sign.
    public mutating func decimal(_ magnitude: UInt64, isNegative: Bool = false) {
        separate()
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var first = digits.count
        var rest = magnitude
        repeat {
            let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: 10)
            first -= 1
            digits[first] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: remainder)
            rest = quotient
        } while rest != 0
        if isNegative { bytes.append(UInt8(ascii: "-")) }
        for index in first..<digits.count { bytes.append(digits[index]) }
    }

    /// Writes `true` or `false`.
    public mutating func bool(_ value: Bool) { separate(); append(value ? "true" : "false") }
    /// Writes `null`.
    public mutating func null() { separate(); append("null") }

    /// Writes a member with text; null when there is none.
    public mutating func member(_ name: StaticString, _ value: Text?) {
        self.name(name)
        if let value { text(value) } else { null() }
    }

    /// Writes a member with text that needs no escapes.
    public mutating func member(_ name: StaticString, literal: StaticString) {
        self.name(name)
        bytes.append(UInt8(ascii: "\""))
        append(literal)
        bytes.append(UInt8(ascii: "\""))
    }

    /// Writes a member with one of a fixed set of words; they need no escapes.
    public mutating func member(_ name: StaticString, word: some RawRepresentable<String>) {
        self.name(name)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: word.rawValue.utf8)
        bytes.append(UInt8(ascii: "\""))
    }

    /// Writes a member with an integer.
    @inlinable
    public mutating func member(_ name: StaticString, _ value: some BinaryInteger) {
        self.name(name)
        integer(value)
    }

    /// Writes a member with a truth value.
    public mutating func member(_ name: StaticString, _ value: Bool) {
        self.name(name)
        bool(value)
    }

    /// Writes bytes that are one whole JSON value already.
    public mutating func verbatim(_ json: [UInt8]) { separate(); bytes.append(contentsOf: json) }

    /// Writes a value with all that is in it.
    public mutating func value(_ value: JSONValue) {
        switch value {
        case .null: null()
        case .bool(let bool): self.bool(bool)
        case .integer(let integer): self.integer(integer)
        case .real(let real): verbatim(Array(real.description.utf8))
        case .text(let text): self.text(text)
        case .array(let elements):
            beginArray()
            for element in elements { self.value(element) }
            endArray()
        case .object(let object):
            beginObject()
            for member in object.members { name(escaping: member.name); self.value(member.value) }
            endObject()
        }
    }

    /// Puts a comma where one belongs: behind anything but a beginning, a name or a fresh line.
    private mutating func separate() {
        switch bytes.last {
        case nil, UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: ":"), UInt8(ascii: "\n"): break
        default: bytes.append(UInt8(ascii: ","))
        }
    }

    private mutating func append(_ literal: StaticString) {
        unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }

    private mutating func escape(_ utf8: [UInt8]) {
        var special: UInt8 = 0
        let span = utf8.span
        for index in span.indices {
            let byte = span[index]
            special |= (byte < 0x20 ? 1 : 0) | (byte == 0x22 ? 1 : 0) | (byte == 0x5C ? 1 : 0) | (byte == 0xE2 ? 1 : 0)
        }
        if special == 0 {
            unsafe utf8.withUnsafeBufferPointer { unsafe bytes.append(contentsOf: $0) }
            return
        }
        var index = 0
        while index < utf8.count {
            let byte = utf8[index]
            switch byte {
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\\"): append("\\\\")
            case 0x08: append("\\b")
            case 0x09: append("\\t")
            case 0x0A: append("\\n")
            case 0x0C: append("\\f")
            case 0x0D: append("\\r")
            case 0..<0x20:
                append("\\u00")
                bytes.append(byte < 0x10 ? UInt8(ascii: "0") : UInt8(ascii: "1"))
                bytes.append(byte & 15 < 10 ? UInt8(ascii: "0") + (byte & 15) : UInt8(ascii: "a") + (byte & 15) - 10)
            case 0xE2 where index + 2 < utf8.count && utf8[index + 1] == 0x80 && utf8[index + 2] & 0xFE == 0xA8:
                append(utf8[index + 2] == 0xA8 ? "\\u2028" : "\\u2029")
                index += 2
            default: bytes.append(byte)
            }
            index += 1
        }
    }
}
