/// Calls its action every `interval`, as long as it is armed; counts by the monotonic clock.
public final class Timer: EventSource {
    private let interval: Duration
    private let action: () -> Void
    private var due: Duration?

    /// A timer, armed from now on unless told otherwise.
    public init(every interval: Duration, armed: Bool = true, _ action: @escaping () -> Void) {
        self.interval = interval
        self.action = action
        due = armed ? .monotonic + interval : nil
    }

    /// None: a timer has only deadlines.
    public var descriptor: CInt? { nil }

    /// Time until it fires next.
    public var timeout: Duration? { due.map { $0 - .monotonic } }

    /// Whether it runs; arming an armed timer changes nothing.
    public var isArmed: Bool {
        get { due != nil }
        set {
            guard newValue != isArmed else { return }
            due = newValue ? .monotonic + interval : nil
        }
    }

    /// Fires when it is due.
    public func run() {
        let now = Duration.monotonic
        guard let due, due <= now else { return }
        self.due = now + interval
        action()
    }
}
