/// Why a hub did not do what it was asked: what was asked, what came in between, and what helps.
public struct ControlError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What a program does differently from one case to the next.
    public enum Kind: Sendable {
        /// Nobody answered: no socket, nobody listens, no route, or the time is over.
        case unreachable
        /// The hub has too much to do right now (HTTP 429, 503); the same request may pass later.
        case busy
        /// The caller may not talk to this hub (EACCES, HTTP 401, 403).
        case forbidden
        /// What was named does not exist (HTTP 404).
        case notFound
        /// The hub understood and said no (any other HTTP 4xx).
        case refused
        /// The hub tried and failed (HTTP 5xx).
        case failed
        /// The answer is not what a hub answers.
        case unreadable
        /// An address or URL that cannot be used.
        case address
    }

    /// The kind of failure.
    public let kind: Kind
    /// What the request was about, such as `device 'pump-1'` or the path of a socket.
    public let subject: String
    /// What happened; never a secret.
    public let reason: String
    /// What to do about it; nil when nothing general can be said.
    public let advice: String?

    /// An error of the given kind.
    public init(_ kind: Kind, _ subject: String, _ reason: String, advice: String? = nil) {
        self.kind = kind
        self.subject = subject
        self.reason = reason
        self.advice = advice
    }

    /// One line: `/run/nearhub/nearhub.sock: nobody listens there; start the hub`.
    public var description: String { "\(subject): \(reason)" + (advice.map { "; \($0)" } ?? "") }
}
