/// How a hub talks to one kind of upstream: a state machine without I/O, clock or chance, one value for a whole run.
///
/// The engine (`Upstream`) owns connections, cursor and clock. It tells a dialect what happened by `handle` and does what
/// the answer says, in that order. A dialect holds only what is in flight: never more devices than its window.
public protocol Dialect {
    /// How many further devices it takes at this moment; the engine offers the next one only while this is positive.
    func room(at now: Duration) -> Int

    /// When it wants `Input.time` at the latest, by the monotonic clock; nil when it waits for other things only.
    var deadline: Duration? { get }

    /// Takes in what happened.
    ///
    /// - Parameters:
    ///   - input: what happened.
    ///   - moment: when, and what else differs from one moment to the next.
    /// - Returns: what the engine is to do, in this order.
    mutating func handle(_ input: Input, at moment: Moment) -> [Action]
}

/// What a dialect must not find out by itself.
public struct Moment: Sendable {
    /// The monotonic clock.
    public var now: Duration
    /// A random number from 0 up to 1, for what must not happen everywhere at once.
    public var chance: Double
    /// The cursor: upstream has been told of every change of a device up to this number, one way or the other.
    public var cursor: UInt64
    /// The highest number at which upstream was told that a device has ended; 0 when it never was.
    public var ended: UInt64
    /// Whether upstream has devices, found by `Action.examine`, of which it is still to be told that they have ended.
    public var hasGhosts: Bool

    /// A moment of the given parts.
    public init(now: Duration, chance: Double, cursor: UInt64, ended: UInt64 = 0, hasGhosts: Bool = false) {
        self.now = now
        self.chance = chance
        self.cursor = cursor
        self.ended = ended
        self.hasGhosts = hasGhosts
    }
}

/// Which connection is meant; dialects number them as they like.
public struct Channel: Hashable, Sendable {
    /// Its number.
    public let number: Int

    /// The connection of this number.
    public init(_ number: Int) { self.number = number }
}
