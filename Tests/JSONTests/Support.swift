internal import Glibc
internal import JSON
internal import Testing

/// The value in a text that must be JSON.
func value(_ text: String) throws -> JSONValue { try JSONValue.parse(Array(text.utf8)) }

/// What the parser says of bytes that it must refuse; nil when it takes them.
func refusal(_ bytes: [UInt8]) -> JSONError? {
    do throws(JSONError) {
        _ = try JSONValue.parse(bytes)
        return nil
    } catch { return error }
}

/// What the writer makes of a value.
func written(_ value: JSONValue) -> String {
    var json = JSONWriter()
    json.value(value)
    return String(decoding: json.bytes, as: UTF8.self)
}

/// The cases of the wire contract.
func protocolCases(_ here: String = #filePath) throws -> [JSONValue] {
    let tests = here.split(separator: "/").dropLast(2).joined(separator: "/")
    return try #require(try JSONValue.parse(contents("/\(tests)/Protocol/cases.json")).array)
}

/// The bytes of a file; none when it cannot be read.
private func contents(_ path: String) -> [UInt8] {
    guard let file = unsafe fopen(path, "r") else { return [] }
    defer { unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    return Array(bytes[..<count])
}
