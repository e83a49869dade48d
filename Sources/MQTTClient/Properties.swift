internal import CMosquitto
internal import Glibc

/// A list of MQTT 5 properties to send; the library copies it, this value owns and frees it.
@safe struct Properties: ~Copyable {
    /// The properties that the client sends.
    enum Identifier: CInt {
        /// In seconds (MQTT 5, 3.3.2.3.3).
        case messageExpiryInterval = 2
        /// The request's (MQTT 5, 3.3.2.3.6).
        case correlationData = 9
        /// In bytes (MQTT 5, 3.1.2.11.4).
        case maximumPacketSize = 39
    }

    /// The list; nil while it is empty.
    private(set) var list: OpaquePointer?
    /// The first failure of `add`.
    private(set) var code = MOSQ_ERR_SUCCESS.code

    deinit {
        var list = unsafe list
        unsafe mosquitto_property_free_all(&list)
    }

    /// Adds a number of four bytes.
    mutating func add(_ identifier: Identifier, _ value: UInt32) {
        unsafe note(mosquitto_property_add_int32(&list, identifier.rawValue, value))
    }

    /// Adds binary data of 65,535 bytes at most.
    mutating func add(_ identifier: Identifier, _ value: [UInt8]) {
        guard let count = UInt16(exactly: value.count) else { return note(MOSQ_ERR_INVAL.code) }
        unsafe note(mosquitto_property_add_binary(&list, identifier.rawValue, value, count))
    }

    private mutating func note(_ result: CInt) {
        if code == MOSQ_ERR_SUCCESS.code { code = result }
    }
}

/// Reading what came; the list dies with the callback that brought it.
enum ReceivedProperties {
    /// Where the publisher wants the answer.
    static func responseTopic(_ list: OpaquePointer?) -> String? {
        guard let list = unsafe list else { return nil }
        var value: UnsafeMutablePointer<CChar>?
        guard
            unsafe mosquitto_property_read_string(list, CInt(MQTT_PROP_RESPONSE_TOPIC.rawValue), &value, false) != nil,
            let value = unsafe value
        else { return nil }
        defer { unsafe free(value) }
        return unsafe String(validatingCString: value)
    }

    /// What the publisher wants to find in the answer.
    static func correlationData(_ list: OpaquePointer?) -> [UInt8]? {
        guard let list = unsafe list else { return nil }
        var value: UnsafeMutableRawPointer?
        var count: UInt16 = 0
        let identifier = CInt(MQTT_PROP_CORRELATION_DATA.rawValue)
        guard unsafe mosquitto_property_read_binary(list, identifier, &value, &count, false) != nil else { return nil }
        defer { unsafe free(value) }
        return unsafe Array(UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : Int(count)))
    }
}
