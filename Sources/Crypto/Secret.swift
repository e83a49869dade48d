internal import CCrypto

/// A secret that is compared in constant time and never prints itself.
///
/// It is not Equatable on purpose: `matches` is the only comparison there is.
public struct Secret: Sendable, CustomStringConvertible, CustomReflectable {
    /// The bytes, for the places that must show or send them.
    public let exposed: [UInt8]
    /// The bytes with zeros behind them up to a multiple of 256: all secrets of a profile have one length here.
    private let padded: [UInt8]

    /// Keeps the bytes.
    public init(_ bytes: [UInt8]) {
        exposed = bytes
        var padded = bytes
        let step = 256
        padded.reserveCapacity(bytes.count + step)
        padded.append(contentsOf: repeatElement(0, count: step - bytes.count % step))
        self.padded = padded
    }

    /// Whether both are the same; takes the same time whatever differs, the length up to 255 bytes included.
    public func matches(_ other: Secret) -> Bool {
        guard padded.count == other.padded.count else { return false }
        let difference = unsafe CRYPTO_memcmp(padded, other.padded, padded.count)
        return difference | Int32(truncatingIfNeeded: exposed.count ^ other.exposed.count) == 0
    }

    /// Whether the candidate is the secret; takes the same time as the other.
    public func matches(_ candidate: [UInt8]) -> Bool { matches(Secret(candidate)) }

    /// Three asterisks.
    public var description: String { "***" }
    /// Nothing.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
