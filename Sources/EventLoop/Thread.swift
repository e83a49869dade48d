internal import CLinux
internal import Glibc

/// Starts a thread of its own with a small stack (pthread_create(3)); it is never joined.
///
/// - Parameters:
///   - name: what `ps -T` shows, at most 15 bytes.
///   - stack: bytes of stack.
///   - body: what it runs.
/// - Throws: the error number of pthread_create.
public func startThread(
    _ name: String, stack: Int = 256 * 1024, _ body: @escaping @Sendable () -> Void
) throws(SystemError) {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setstacksize(&attributes, stack)
    unsafe pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    let start = unsafe Unmanaged.passRetained(ThreadStart(name: name, body: body))
    var thread = pthread_t()
    let code = unsafe pthread_create(&thread, &attributes, runThread, start.toOpaque())
    guard code == 0 else {
        unsafe start.release()
        throw SystemError("pthread_create", name, code: code)
    }
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

/// Balances the retain of `startThread`.
private func runThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument = unsafe argument else { return nil }
    let start = unsafe Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
    _ = unsafe clinux_set_thread_name(start.name)
    start.body()
    return nil
}
