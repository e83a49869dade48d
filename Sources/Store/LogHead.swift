internal import CXXHash
internal import Crypto
internal import JSON

/// The first line of a log, which says whose log it is.
public enum LogHead {
    /// What ends a line: `,"xxh3":"`, 16 digits, `"}`.
    private static let tail = 27

    /// The same head with an id that no other log has; for a state that another hub takes over.
    ///
    /// - Parameter line: without its newline.
    /// - Returns: nil when the line is no whole head.
    public static func renewed(_ line: [UInt8]) -> [UInt8]? {
        let bare = Array(line.dropLast(tail))
        guard line.count > tail, line.suffix(tail).elementsEqual(ending(bare)),
            let json = try? JSONValue.parse(line), json["mark"]?.text == "head", let id = json["id"]?.text
        else { return nil }
        let member = Array("\"id\":\"".utf8) + id.utf8 + [UInt8(ascii: "\"")]
        guard let start = bare.indices.first(where: { bare[$0...].starts(with: member) }) else { return nil }
        var random = SystemRandom()
        let fresh = "\"id\":\"" + hexadecimal(random.next()) + hexadecimal(random.next()) + "\""
        let renewed = bare[..<start] + Array(fresh.utf8) + bare[(start + member.count)...]
        return Array(renewed) + ending(Array(renewed))
    }

    private static func ending(_ bare: [UInt8]) -> [UInt8] {
        let hash = unsafe XXH3_64bits(bare, bare.count)
        return Array(",\"xxh3\":\"\(hexadecimal(hash))\"}".utf8)
    }

    /// The 16 lower-case digits of a number.
    static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
