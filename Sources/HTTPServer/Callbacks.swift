internal import CMicrohttpd
internal import Glibc
internal import HTTPMessage

// What libmicrohttpd calls, always from within MHD_run and so on the loop's thread. Each function finds its object and
// calls it. A connection's socket context holds one retain of its Connection, a request's context one of its exchange;
// both are released in the function in which the library says that they have ended.

/// The bytes of a request line, as long as the library's call lasts.
@unsafe struct RequestLine {
    let method: UnsafeBufferPointer<UInt8>
    let target: UnsafeBufferPointer<UInt8>
    let version: UnsafeBufferPointer<UInt8>
}

/// `MHD_UnescapeCallback`: leaves percent escapes as they are; `%2F` in a path is not the `/` between its parts.
func keepEscapes(
    _ server: UnsafeMutableRawPointer?, _ handle: OpaquePointer?, _ text: UnsafeMutablePointer<CChar>?
) -> Int {
    unsafe text.map { unsafe strlen($0) } ?? 0
}

/// `MHD_AcceptPolicyCallback`: whether a new connection is let in.
func admit(_ server: UnsafeMutableRawPointer?, _ address: UnsafePointer<sockaddr>?, _ size: socklen_t) -> MHD_Result {
    guard let server = unsafe HTTPServer.at(server), let address = unsafe address else { return .NO }
    return unsafe server.admits(address) ? .YES : .NO
}

/// `MHD_NotifyConnectionCallback`: a connection has opened or closed.
func connectionChanged(
    _ server: UnsafeMutableRawPointer?, _ handle: OpaquePointer?,
    _ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ code: MHD_ConnectionNotificationCode
) {
    guard let server = unsafe HTTPServer.at(server), let handle = unsafe handle, let context = unsafe context else {
        return
    }
    if code == .CONNECTION_NOTIFY_STARTED {
        guard let connection = unsafe Connection(handle) else { return }
        unsafe context.pointee = Unmanaged.passRetained(connection).toOpaque()
        server.opened(connection)
    } else if let stored = unsafe context.pointee {
        unsafe context.pointee = nil
        server.closed(unsafe Unmanaged<Connection>.fromOpaque(stored).takeRetainedValue())
    }
}

/// `MHD_AccessHandlerCallback`: the head of a request is there, then pieces of its body, then its end, then its answer is wanted.
func access(
    _ server: UnsafeMutableRawPointer?, _ handle: OpaquePointer?, _ url: UnsafePointer<CChar>?,
    _ method: UnsafePointer<CChar>?, _ version: UnsafePointer<CChar>?, _ upload: UnsafePointer<CChar>?,
    _ uploadSize: UnsafeMutablePointer<Int>?, _ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let server = unsafe HTTPServer.at(server), let handle = unsafe handle, let context = unsafe context,
        let uploadSize = unsafe uploadSize
    else { return .NO }
    guard let stored = unsafe context.pointee else {
        guard let connection = unsafe Connection.of(handle) else { return .NO }
        let line = unsafe RequestLine(method: bytes(method), target: bytes(url), version: bytes(version))
        let exchange = unsafe server.begin(handle, connection, line)
        unsafe context.pointee = Unmanaged.passRetained(exchange).toOpaque()
        return exchange.response.map { unsafe server.send($0, exchange, handle) } ?? .YES
    }
    let exchange = unsafe Unmanaged<HTTPExchange>.fromOpaque(stored).takeUnretainedValue()
    if unsafe uploadSize.pointee > 0 {
        let piece = unsafe UnsafeBufferPointer(
            start: UnsafeRawPointer(upload)?.assumingMemoryBound(to: UInt8.self), count: uploadSize.pointee)
        unsafe uploadSize.pointee = 0
        server.hasProgressed = true
        return unsafe exchange.receive(piece) ? .YES : .NO
    }
    if !exchange.wasHandled {
        let line = unsafe RequestLine(method: bytes(method), target: bytes(url), version: bytes(version))
        unsafe server.handle(exchange, handle, line)
    }
    guard let response = exchange.response else {
        exchange.rest(on: server)
        return .YES
    }
    return unsafe server.send(response, exchange, handle)
}

/// `MHD_RequestCompletedCallback`: a request has ended, one way or another.
func completed(
    _ server: UnsafeMutableRawPointer?, _ handle: OpaquePointer?,
    _ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ code: MHD_RequestTerminationCode
) {
    guard let context = unsafe context, let stored = unsafe context.pointee else { return }
    unsafe context.pointee = nil
    let exchange = unsafe Unmanaged<HTTPExchange>.fromOpaque(stored).takeRetainedValue()
    exchange.end()
    exchange.connection.isAnswering = false
    exchange.connection.restartDeadline()
}

/// Hands a response to the library, which copies it.
func queue(_ response: HTTPResponse, closes: Bool, _ handle: OpaquePointer) -> MHD_Result {
    let made = unsafe response.body.withUnsafeBytes { buffer in
        unsafe MHD_create_response_from_buffer(
            buffer.count, UnsafeMutableRawPointer(mutating: buffer.baseAddress), .RESPMEM_MUST_COPY)
    }
    guard let made = unsafe made else { return .NO }
    defer { unsafe MHD_destroy_response(made) }
    unsafe MHD_add_response_header(made, "Content-Type", "application/json")
    unsafe MHD_add_response_header(made, "Cache-Control", "no-store")
    if let allow = response.allow { unsafe MHD_add_response_header(made, "Allow", allow) }
    if closes { unsafe MHD_add_response_header(made, "Connection", "close") }
    return unsafe MHD_queue_response(handle, UInt32(clamping: response.status), made)
}

/// The parameters of the query.
func parameters(of handle: OpaquePointer) -> [(name: String, value: String)] {
    var found: [(name: String, value: String)] = []
    _ = unsafe withUnsafeMutablePointer(to: &found) { pointer in
        unsafe MHD_get_connection_values_n(handle, .GET_ARGUMENT_KIND, parameter, pointer)
    }
    return found
}

private func parameter(
    _ found: UnsafeMutableRawPointer?, _ kind: MHD_ValueKind, _ key: UnsafePointer<CChar>?, _ keySize: Int,
    _ value: UnsafePointer<CChar>?, _ valueSize: Int
) -> MHD_Result {
    guard let found = unsafe found?.assumingMemoryBound(to: [(name: String, value: String)].self) else { return .NO }
    let name = unsafe unescaped(bytes(key, keySize))
    let text = unsafe unescaped(bytes(value, valueSize))
    unsafe found.pointee.append((name, text))
    return .YES
}

/// The text behind percent escapes (RFC 3986 section 2.1); what is no escape stays.
private func unescaped(_ text: UnsafeBufferPointer<UInt8>) -> String {
    var bytes: [UInt8] = []
    var index = 0
    while index < text.count {
        let digits = unsafe String(
            decoding: text[min(index + 1, text.count)..<min(index + 3, text.count)], as: UTF8.self)
        if unsafe text[index] == UInt8(ascii: "%"), digits.utf8.count == 2, digits.allSatisfy(\.isHexDigit),
            let byte = UInt8(digits, radix: 16)
        {
            bytes.append(byte)
            index += 3
        } else {
            unsafe bytes.append(text[index])
            index += 1
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

extension RequestHead {
    /// Feeds in all header fields of a request.
    init(of handle: OpaquePointer) {
        self.init()
        _ = unsafe withUnsafeMutablePointer(to: &self) { pointer in
            unsafe MHD_get_connection_values_n(handle, .HEADER_KIND, headerField, pointer)
        }
    }
}

private func headerField(
    _ head: UnsafeMutableRawPointer?, _ kind: MHD_ValueKind, _ key: UnsafePointer<CChar>?, _ keySize: Int,
    _ value: UnsafePointer<CChar>?, _ valueSize: Int
) -> MHD_Result {
    guard let head = unsafe head?.assumingMemoryBound(to: RequestHead.self) else { return .NO }
    let name = unsafe bytes(key, keySize)
    let text = unsafe bytes(value, valueSize)
    unsafe head.pointee.field(Span(_unsafeElements: name), Span(_unsafeElements: text))
    return .YES
}

private func bytes(_ start: UnsafePointer<CChar>?, _ count: Int? = nil) -> UnsafeBufferPointer<UInt8> {
    guard let start = unsafe start else { return unsafe UnsafeBufferPointer(start: nil, count: 0) }
    return unsafe UnsafeBufferPointer(
        start: UnsafeRawPointer(start).assumingMemoryBound(to: UInt8.self), count: count ?? strlen(start))
}

extension HTTPServer {
    fileprivate static func at(_ context: UnsafeMutableRawPointer?) -> HTTPServer? {
        unsafe context.map { unsafe Unmanaged<HTTPServer>.fromOpaque($0).takeUnretainedValue() }
    }
}

extension Connection {
    fileprivate static func of(_ handle: OpaquePointer) -> Connection? {
        unsafe cmhd_context(handle).map { unsafe Unmanaged<Connection>.fromOpaque($0).takeUnretainedValue() }
    }
}
