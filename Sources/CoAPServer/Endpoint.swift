internal import CCoap
internal import CoAPMessage
internal import EventLoop
internal import Glibc

/// libcoap's context with its one socket; the receiver owns it.
@unsafe struct OpenEndpoint {
    let context: OpaquePointer
    /// Where it listens, with the real port.
    let address: String
}

/// Opens a socket for CoAP with the limits that libcoap itself keeps.
func openEndpoint(host: String, port: UInt16) throws(SystemError) -> OpenEndpoint {
    let shown = "\(host.contains(":") ? "[\(host)]" : host):\(port)"
    var hints = unsafe addrinfo()
    unsafe hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE
    unsafe hints.ai_socktype = CInt(SOCK_DGRAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(host, String(port), &hints, &found) == 0, let info = unsafe found?.pointee else {
        throw SystemError("listen on", shown, code: EADDRNOTAVAIL)
    }
    defer { unsafe freeaddrinfo(found) }
    if port != 0 { try unsafe probe(info, shown) }
    coap_startup()
    ccoap_silence()
    var address = coap_address_t()
    errno = 0
    guard unsafe ccoap_address(&address, info.ai_addr, info.ai_addrlen) == 1,
        let context = unsafe coap_new_context(nil)
    else { throw SystemError("listen on", shown, code: errno == 0 ? ENOMEM : errno) }
    errno = 0
    guard let endpoint = unsafe coap_new_endpoint(context, &address, COAP_PROTO_UDP) else {
        let code = errno == 0 ? EADDRNOTAVAIL : errno
        unsafe coap_free_context(context)
        throw SystemError("listen on", shown, code: code)
    }
    unsafe limit(context, endpoint)
    // "192.0.2.1:5683 UDP"
    let text = unsafe coap_endpoint_str(endpoint).map { unsafe String(cString: $0) } ?? shown
    return unsafe OpenEndpoint(context: context, address: String(text.prefix { $0 != " " }))
}

/// libcoap binds with SO_REUSEADDR, by which two programs would share a UDP port (socket(7)), each with some of the
/// requests: this finds out whether another one has it.
private func probe(_ info: addrinfo, _ shown: String) throws(SystemError) {
    let family = unsafe info.ai_family
    let file = FileDescriptor(
        owning: try system("socket for", shown) { socket(family, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0) }
    )
    var on: CInt = 1
    if family == AF_INET6 {
        unsafe setsockopt(file.raw, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &on, socklen_t(MemoryLayout<CInt>.size))
    }
    let raw = file.raw
    try system("listen on", shown) { unsafe bind(raw, info.ai_addr, info.ai_addrlen) }
}

private func limit(_ context: OpaquePointer, _ endpoint: OpaquePointer) {
    // Each source port is a session, and libcoap walks over all of them.
    unsafe coap_context_set_max_idle_sessions(context, 1000)
    unsafe coap_context_set_session_timeout(context, 30)
    unsafe coap_context_set_block_mode(context, 0)
    // Nothing here is for multicast (RFC 7252 section 8): such requests are dropped.
    unsafe coap_mcast_per_resource(context)
    // What fits into one Ethernet frame is taken, also from clients that should have cut it into blocks.
    unsafe coap_endpoint_set_default_mtu(endpoint, 1472)
}

/// Lets all requests come to `received`.
///
/// The resources are registered by path for discovery (`/.well-known/core`), a catch-all takes all other spellings.
func register(_ resources: [CoAPResource], in context: OpaquePointer, for server: CoAPServer) {
    unsafe add(coap_resource_unknown_init(received), to: context, for: server)
    for resource in resources {
        let path = Array(resource.path.joined(separator: "/").utf8)
        let name = unsafe coap_new_str_const(path, path.count)
        unsafe add(coap_resource_init(name, COAP_RESOURCE_FLAGS_RELEASE_URI), to: context, for: server)
    }
}

private func add(_ resource: OpaquePointer?, to context: OpaquePointer, for server: CoAPServer) {
    guard let resource = unsafe resource else { return }
    unsafe coap_resource_set_userdata(resource, Unmanaged.passUnretained(server).toOpaque())
    for method in CoAPMethod.get.rawValue...CoAPMethod.iPatch.rawValue {
        unsafe coap_register_request_handler(resource, coap_request_t(UInt32(method)), received)
    }
    unsafe coap_add_resource(context, resource)
}

/// `coap_method_handler_t`: a request message has come.
private func received(
    _ resource: OpaquePointer?, _ session: OpaquePointer?, _ request: OpaquePointer?,
    _ query: UnsafePointer<coap_string_t>?, _ response: OpaquePointer?
) {
    guard let resource = unsafe resource, let session = unsafe session, let request = unsafe request,
        let user = unsafe coap_resource_get_userdata(resource)
    else { return }
    // A non-confirmable response without a code is not sent: all answers are our own.
    unsafe coap_pdu_set_type(response, COAP_MESSAGE_NON)
    unsafe Unmanaged<CoAPServer>.fromOpaque(user).takeUnretainedValue().receive(request, over: session)
}
