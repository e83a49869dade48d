internal import Glibc

extension Duration {
    /// The monotonic clock: time since boot, untouched by anyone who sets the clock (clock_gettime(2)).
    public static var monotonic: Duration { read(CLOCK_MONOTONIC) }

    /// The monotonic clock as of the kernel's last tick, at most 10 ms ago: costs a fifth, for what counts in seconds.
    public static var recent: Duration { read(CLOCK_MONOTONIC_COARSE) }

    /// The wall clock: time since 1970 as far as this machine knows it; for people, never for order or expiry.
    public static var sinceEpoch: Duration { read(CLOCK_REALTIME) }

    /// The day this version was made, 2026-11-24, as milliseconds since 1970; raised with the version.
    ///
    /// A wall clock that says less has not been set: a gateway without a clock battery starts in 1970.
    public static let earliestMilliseconds: Int64 = 1_795_478_400_000

    /// Whole milliseconds; the nearest that an Int64 holds.
    public var milliseconds: Int64 {
        let (seconds, isOver) = components.seconds.multipliedReportingOverflow(by: 1000)
        guard !isOver else { return components.seconds < 0 ? .min : .max }
        let (sum, isOverNow) = seconds.addingReportingOverflow(components.attoseconds / 1_000_000_000_000_000)
        return isOverNow ? (seconds < 0 ? .min : .max) : sum
    }

    private static func read(_ clock: clockid_t) -> Duration {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return Duration(
            secondsComponent: Int64(time.tv_sec), attosecondsComponent: Int64(time.tv_nsec) * 1_000_000_000)
    }
}
