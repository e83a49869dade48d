public import Glibc

/// A failed system call: which one, on what, and why.
public struct SystemError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The call, such as `open`.
    public let call: String
    /// What it was called on, such as a path; empty when there is nothing to name.
    public let subject: String
    /// The error number (errno(3)).
    public let code: CInt

    /// An error of the given call; `code` is taken from errno unless given.
    public init(_ call: String, _ subject: String = "", code: CInt = errno) {
        self.call = call
        self.subject = subject
        self.code = code
    }

    /// What the error number means, such as `No space left on device`.
    public var reason: String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }

    /// One line for people: `open /var/lib/nearhub/lock: Permission denied`.
    public var description: String { "\(call)\(subject.isEmpty ? "" : " \(subject)"): \(reason)" }
}

/// Runs a system call again while a signal interrupts it; a result of -1 becomes an error.
///
/// - Parameters:
///   - call: the call's name, for the error.
///   - subject: what it is called on, for the error.
///   - body: the call itself.
/// - Returns: what the call returned.
/// - Throws: the error number as `SystemError`.
@discardableResult
public func system<Result: FixedWidthInteger & SignedInteger>(
    _ call: String, _ subject: @autoclosure () -> String = "", _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = body()
        guard result == -1 else { return result }
        let code = errno
        guard code == EINTR else { throw SystemError(call, subject(), code: code) }
    }
}
