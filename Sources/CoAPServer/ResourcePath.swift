internal import CoAPMessage

/// How the path of a resource looks in the Uri-Path options of a request (protocol.md 7.2).
///
/// Either one option for each segment, as RFC 7252 section 6.4 has it, or one option with the whole path, with or
/// without its first slash, as some of ThingsBoard's own examples send it.
struct ResourcePath {
    /// Stands between options; it cannot be part of a segment, which is UTF-8.
    private static let boundary: UInt8 = 0xFF

    private let spellings: [[UInt8]]

    init(_ segments: [String]) {
        let path = segments.joined(separator: "/")
        let options = segments.map { Array($0.utf8) }.joined(separator: [Self.boundary])
        spellings = [Array(options), Array("/\(path)".utf8), Array(path.utf8)]
    }

    /// Adds an option to what earlier ones made.
    static func add(_ option: some Collection<UInt8>, isFirst: Bool, to path: inout [UInt8]) {
        if !isFirst { path.append(boundary) }
        path.append(contentsOf: option)
    }

    /// Whether the options of a request, put together by `add`, name this resource.
    func matches(_ path: [UInt8]) -> Bool { spellings.contains(path) }
}
