internal import CCrypto

/// A secret that is compared in constant time and never prints itself.
///
/// It is not Equatable on purpose: `matches` is the only comparison there is.
public struct Secret: Sendable, CustomStringConvertible, CustomReflectable {
    /// The bytes, for the places that must show or send them.
    public let exposed: [UInt8]
    private let digest: [UInt8]

    /// Keeps the bytes.
    public init(_ bytes: [UInt8]) {
        exposed = bytes
        digest = Digest.sha256(bytes)
    }

    /// Whether both are the same; takes the same time whatever differs, the length included.
    public func matches(_ other: Secret) -> Bool {
        unsafe CRYPTO_memcmp(digest, other.digest, digest.count) == 0
    }

    /// Whether the candidate is the secret; takes the same time whatever differs, its length included.
    public func matches(_ candidate: [UInt8]) -> Bool { matches(Secret(candidate)) }

    /// Three asterisks.
    public var description: String { "***" }
    /// Nothing.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
