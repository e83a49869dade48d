internal import EventLoop

/// libcoap's own clock, for all of the program: milliseconds of the monotonic clock.
///
/// libcoap 4.3 counts by the wall clock. On a gateway whose clock is set back while an answer waits for its
/// acknowledgement, that answer would not be sent again for as long as the clock was set back. A function of the program
/// takes the place of one of the same name in a shared library (ld.so(8)), as with malloc; only a public one is seen.
@c(coap_ticks)
public func coapTicks(_ ticks: UnsafeMutablePointer<UInt64>) {
    unsafe ticks.pointee = UInt64(clamping: Duration.monotonic.milliseconds)
}
