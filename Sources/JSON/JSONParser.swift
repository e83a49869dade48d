internal import CJansson

extension JSONValue {
    /// The deepest nesting of arrays and objects that is read (protocol.md D1).
    public static let maximumDepth = 16

    /// Reads one JSON object or array.
    ///
    /// RFC 8259 strictly, by jansson; a leading byte order mark is skipped; of duplicate members the last wins.
    /// Refused: nesting over 16, U+0000, bytes that are not UTF-8, lone surrogates, numbers out of range, anything
    /// behind the value. The caller bounds the length.
    ///
    /// - Parameter bytes: the whole document.
    /// - Throws: what is wrong and where, never a piece of the input.
    public static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        let start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        var error = json_error_t()
        let root = unsafe bytes.withUnsafeBytes { buffer in
            unsafe json_loadb(
                buffer.baseAddress.map { unsafe ($0 + start).assumingMemoryBound(to: CChar.self) },
                buffer.count - start, 0, &error)
        }
        guard let root = unsafe root else { throw JSONError(error, start: start) }
        defer { unsafe json_decref(root) }
        guard let value = unsafe JSONValue(root, depth: maximumDepth) else {
            throw JSONError(problem: .nesting, offset: nil)
        }
        return value
    }

    /// Copies jansson's tree; nil when it nests deeper than `depth`.
    private init?(_ json: UnsafeMutablePointer<json_t>, depth: Int) {
        switch unsafe json.pointee.type {
        case JSON_OBJECT:
            guard depth > 0 else { return nil }
            var members: [JSONObject.Member] = []
            unsafe members.reserveCapacity(json_object_size(json))
            var iterator = unsafe json_object_iter(json)
            while unsafe iterator != nil {
                guard let child = unsafe json_object_iter_value(iterator),
                    let name = unsafe json_object_iter_key(iterator)
                else { return nil }
                guard let value = unsafe JSONValue(child, depth: depth - 1) else { return nil }
                let length = unsafe json_object_iter_key_len(iterator)
                unsafe members.append(.init(name: Text(name, length), value: value))
                unsafe iterator = unsafe json_object_iter_next(json, iterator)
            }
            self = .object(JSONObject(members))
        case JSON_ARRAY:
            guard depth > 0 else { return nil }
            var elements: [JSONValue] = []
            let count = unsafe json_array_size(json)
            for index in 0..<count {
                guard let child = unsafe json_array_get(json, index),
                    let value = unsafe JSONValue(child, depth: depth - 1)
                else { return nil }
                elements.append(value)
            }
            self = .array(elements)
        case JSON_STRING:
            guard let bytes = unsafe json_string_value(json) else { return nil }
            self = unsafe .text(Text(bytes, json_string_length(json)))
        case JSON_INTEGER: self = unsafe .integer(json_integer_value(json))
        case JSON_REAL: self = unsafe .real(json_real_value(json))
        case JSON_TRUE: self = .bool(true)
        case JSON_FALSE: self = .bool(false)
        default: self = .null
        }
    }
}

extension Text {
    fileprivate init(_ start: UnsafePointer<CChar>, _ count: Int) {
        self.init(utf8: unsafe Array(UnsafeRawBufferPointer(start: start, count: count)))
    }
}

/// Why bytes were refused as JSON; its text never repeats the input.
public struct JSONError: Error, Hashable, CustomStringConvertible {
    /// The rule that was broken.
    public enum Problem: String, Sendable {
        case syntax = "not valid JSON"
        case truncated = "not valid JSON: it ends too early"
        case trailing = "not valid JSON: more text follows the value"
        case nesting = "nesting over 16"
        case utf8 = "not valid UTF-8"
        case nul = "a NUL character"
        case range = "a number out of range"
    }

    /// The rule that was broken.
    public let problem: Problem
    /// Where it was noticed, in bytes from the start; nil when it concerns the whole.
    public let offset: Int?

    /// One line for people, such as `not valid JSON at byte 17`.
    public var description: String {
        offset.map { "\(problem.rawValue) at byte \($0)" } ?? problem.rawValue
    }
}

extension JSONError {
    fileprivate init(_ error: json_error_t, start: Int) {
        var error = error
        let code = unsafe json_error_code(&error)
        problem =
            switch code {
            case json_error_premature_end_of_input: .truncated
            case json_error_end_of_input_expected: .trailing
            case json_error_stack_overflow: .nesting
            case json_error_invalid_utf8: .utf8
            case json_error_null_character, json_error_null_byte_in_key: .nul
            case json_error_numeric_overflow: .range
            default: .syntax
            }
        offset = problem == .nesting ? nil : start + max(Int(error.position), 0)
    }
}

extension JSONValue {
    /// The library that parses, and its version at run time.
    public static var library: (name: String, version: String) {
        ("jansson", unsafe String(cString: jansson_version_str()))
    }
}
