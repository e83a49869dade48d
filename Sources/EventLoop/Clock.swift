internal import Glibc

extension Duration {
    /// The monotonic clock: time since boot, untouched by anyone who sets the clock (clock_gettime(2)).
    public static var monotonic: Duration { read(CLOCK_MONOTONIC) }

    /// The wall clock: time since 1970 as far as this machine knows it; for people, never for order or expiry.
    public static var sinceEpoch: Duration { read(CLOCK_REALTIME) }

    /// Whole milliseconds.
    public var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }

    private static func read(_ clock: clockid_t) -> Duration {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return Duration(
            secondsComponent: Int64(time.tv_sec), attosecondsComponent: Int64(time.tv_nsec) * 1_000_000_000)
    }
}
