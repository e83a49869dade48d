internal import Glibc
internal import Synchronization

/// Who the client is to the broker; prints as nothing, since a device's token stands in the user name.
public struct MQTTLogin: Sendable, CustomStringConvertible, CustomReflectable {
    /// The user name.
    public let username: String
    let password: Password?

    /// A login; a nil password sends none at all, which is not the same as an empty one.
    ///
    /// Bytes behind a NUL are not sent: no string of libmosquitto has one.
    public init(username: String, password: String?) {
        self.username = username
        self.password = password.map { Password($0) }
    }

    /// Three asterisks.
    public var description: String { "***" }
    /// Nothing.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A password, overwritten with zeros when nobody needs it any more.
///
/// That goes for this copy: the library keeps one of its own while the connection lasts, and frees it as it is.
final class Password: Sendable {
    /// With a NUL at the end.
    private let bytes: Mutex<[UInt8]>

    init(_ text: String) { bytes = Mutex(Array(text.utf8) + [0]) }

    deinit {
        bytes.withLock { bytes in
            unsafe bytes.withUnsafeMutableBytes { bytes in
                if let start = bytes.baseAddress { unsafe explicit_bzero(start, bytes.count) }
            }
        }
    }

    /// Lends the password as a string of C.
    func withCString<Result: BitwiseCopyable & Sendable>(_ body: (UnsafePointer<CChar>?) -> Result) -> Result {
        bytes.withLock { bytes in
            unsafe bytes.withUnsafeBytes { unsafe body($0.assumingMemoryBound(to: CChar.self).baseAddress) }
        }
    }
}
