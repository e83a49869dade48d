/// How a connection is protected: TLS 1.2 or newer, with the broker's chain and name verified; there is no way around it.
public struct MQTTTLS: Sendable, Hashable {
    /// Where the system keeps the certificates it trusts, each under its hash (openssl-rehash(1ssl)).
    public static let systemCertificates = "/etc/ssl/certs"

    /// The PEM file with the certificates that vouch for the broker; nil for those of the system.
    public var caFile: String?

    /// TLS with the certificates of a file, or of the system.
    public init(caFile: String? = nil) { self.caFile = caFile }

    /// Whether the certificates can be read, for the start; they are read again for each connection.
    ///
    /// - Throws: which file or directory, and what is wrong with it.
    public func check() throws(MQTTTLSError) { _ = try TLSContext(self, host: "localhost") }
}

/// Certificates that cannot be used; without them there is no connection.
public struct MQTTTLSError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was to be used.
    public let path: String
    /// What is wrong.
    public let reason: String

    /// One line for people.
    public var description: String { "\(path): \(reason)" }
}
