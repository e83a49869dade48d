/// The methods of CoAP, by their codes (RFC 7252 section 12.1.1, RFC 8132 section 6).
public enum CoAPMethod: UInt8, Sendable {
    case get = 1
    case post, put, delete, fetch, patch, iPatch
}

/// The code of a response, such as 2.01 (RFC 7252 section 12.1.2).
public struct CoAPCode: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    /// The class in the upper three bits, the detail in the lower five.
    public let rawValue: UInt8

    /// A code as it is on the wire.
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// 2.01.
    public static let created = CoAPCode(2, 1)
    /// 2.31: the block is there, go on with the next (RFC 7959 section 2.9.1).
    public static let `continue` = CoAPCode(2, 31)
    /// 4.00.
    public static let badRequest = CoAPCode(4, 0)
    /// 4.02.
    public static let badOption = CoAPCode(4, 2)
    /// 4.04.
    public static let notFound = CoAPCode(4, 4)
    /// 4.05.
    public static let methodNotAllowed = CoAPCode(4, 5)
    /// 4.08: blocks are missing (RFC 7959 section 2.9.2).
    public static let incomplete = CoAPCode(4, 8)
    /// 4.13.
    public static let tooLarge = CoAPCode(4, 13)
    /// 4.29 (RFC 8516).
    public static let tooManyRequests = CoAPCode(4, 29)
    /// 5.03.
    public static let unavailable = CoAPCode(5, 3)

    /// 2 for success, 4 and 5 for errors of the client and the server.
    public var category: UInt8 { rawValue >> 5 }
    /// The form for people, such as `4.04`.
    public var description: String {
        let detail = rawValue & 0x1F
        return "\(category).\(detail < 10 ? "0" : "")\(detail)"
    }

    private init(_ category: UInt8, _ detail: UInt8) {
        rawValue = category << 5 | detail
    }
}
