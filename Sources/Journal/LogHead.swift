internal import CLinux
public import EventLoop
internal import JSON

/// The first line of a log, which says whose log it is.
public enum LogHead {
    /// The same head with an id that no other log has; for a state that another hub takes over.
    ///
    /// - Parameter line: without its newline.
    /// - Returns: nil when the line is no whole head.
    public static func renewed(_ line: [UInt8]) throws(SystemError) -> [UInt8]? {
        let isIntact = unsafe line.withUnsafeBytes { unsafe Line.isIntact($0) }
        guard isIntact, case .head(let log, _, let generation)? = Line(line) else { return nil }
        var renewed: [UInt8] = []
        renewed.appendHead(log: log.description, id: try newID(), generation: generation)
        return renewed.dropLast()
    }

    /// An id that no other log and no other hub has: 32 hexadecimal digits.
    public static func newID() throws(SystemError) -> [UInt8] {
        var random = [UInt8](repeating: 0, count: 16)
        try system("getrandom") { unsafe getrandom(&random, random.count, 0) }
        return random.flatMap { byte in
            [byte >> 4, byte & 15].map { $0 < 10 ? UInt8(ascii: "0") + $0 : UInt8(ascii: "a") + $0 - 10 }
        }
    }
}
