internal import CMosquitto

// What libmosquitto calls, always from within one of its functions that the network's thread has called. The context of
// each is the session, which lives until that thread has returned from all of them: nothing is retained or released.

extension Session {
    /// Tells the library what to call.
    func setCallbacks(_ handle: OpaquePointer) {
        unsafe mosquitto_connect_v5_callback_set(handle, onConnect)
        unsafe mosquitto_disconnect_v5_callback_set(handle, onDisconnect)
        unsafe mosquitto_subscribe_v5_callback_set(handle, onSubscribe)
        unsafe mosquitto_publish_v5_callback_set(handle, onPublish)
        unsafe mosquitto_message_v5_callback_set(handle, onMessage)
        // It would format a line for each packet, for nobody.
        if options.tls != nil { unsafe mosquitto_log_callback_set(handle, onLog) }
    }

    static func at(_ context: UnsafeMutableRawPointer?) -> Session? {
        unsafe context.map { unsafe Unmanaged<Session>.fromOpaque($0).takeUnretainedValue() }
    }
}

private func onConnect(
    _ handle: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ code: CInt, _ flags: CInt,
    _ properties: OpaquePointer?
) {
    unsafe Session.at(context)?.connected(code)
}

private func onDisconnect(
    _ handle: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ code: CInt, _ properties: OpaquePointer?
) {
    unsafe Session.at(context)?.disconnected(code)
}

private func onSubscribe(
    _ handle: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ mid: CInt, _ count: CInt,
    _ granted: UnsafePointer<CInt>?, _ properties: OpaquePointer?
) {
    let codes = unsafe Array(UnsafeBufferPointer(start: granted, count: granted == nil ? 0 : Int(count)))
    unsafe Session.at(context)?.subscribed(mid, codes)
}

private func onPublish(
    _ handle: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ mid: CInt, _ code: CInt,
    _ properties: OpaquePointer?
) {
    unsafe Session.at(context)?.published(mid, code)
}

private func onMessage(
    _ handle: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ message: UnsafePointer<mosquitto_message>?,
    _ properties: OpaquePointer?
) {
    guard let session = unsafe Session.at(context), let message = unsafe message?.pointee,
        let topic = unsafe message.topic.flatMap({ unsafe String(validatingCString: $0) })
    else { return }
    let count = unsafe min(Int(message.payloadlen), session.options.maximumPayload + 1)
    let payload = unsafe UnsafeRawBufferPointer(start: message.payload, count: message.payload == nil ? 0 : count)
    let copy = unsafe MQTTMessage(
        topic: topic, payload: Array(payload), qos: Int(message.qos), isRetained: message.retain,
        responseTopic: ReceivedProperties.responseTopic(properties),
        correlationData: ReceivedProperties.correlationData(properties))
    session.link.post(.message(copy))
}

/// The library tells only here why TLS failed: `OpenSSL Error[0]: error:0A00010B:SSL routines::wrong version number`.
private func onLog(
    _ handle: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ level: CInt, _ line: UnsafePointer<CChar>?
) {
    guard level == CInt(MOSQ_LOG_ERR), let line = unsafe line else { return }
    let text = unsafe String(cString: line)
    guard text.hasPrefix("OpenSSL Error["), let reason = text.split(separator: ":").last else { return }
    unsafe Session.at(context)?.noteTLS(String(reason))
}
