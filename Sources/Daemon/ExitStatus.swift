/// How the program ends, in the numbers of sysexits.h(3head) where it has one.
public enum ExitStatus: Int32, Sendable {
    case done = 0
    /// The hub said no.
    case refused = 1
    case usage = 64
    /// A log is damaged, or written by a newer version.
    case damagedData = 65
    case inputOutput = 74
    /// The hub is not reachable, or another one is in the way.
    case unavailable = 75
    case configuration = 78
}

/// Why the hub does not start, with what to do about it.
public struct DaemonError: Error, CustomStringConvertible {
    /// How the program ends.
    public let status: ExitStatus
    /// One line for people.
    public let description: String

    init(_ status: ExitStatus, _ description: String) {
        self.status = status
        self.description = description
    }
}
