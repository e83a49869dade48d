internal import Glibc

@testable import CoAPServer

/// A device with a socket, that writes and reads messages byte by byte (RFC 7252 section 3).
final class Client {
    /// A message that came.
    struct Message: Equatable {
        var type: UInt8
        var code: UInt8
        var messageID: UInt16
        var payload: [UInt8]
        /// Whether all of it is the empty acknowledgement.
        var isEmptyAcknowledgement: Bool { type == 2 && code == 0 && payload.isEmpty }
    }

    private let socket: CInt

    /// A client of the server at a port of 127.0.0.1.
    init(port: UInt16) {
        socket = Glibc.socket(AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        _ = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe connect(
                socket, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self),
                socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }

    deinit { close(socket) }

    /// Posts to `/r` with a token of one byte.
    func post(_ payload: [UInt8], messageID: UInt16, confirmable: Bool = true, token: UInt8 = 1) {
        var message: [UInt8] = [
            confirmable ? 0x41 : 0x51, 2, UInt8(messageID >> 8), UInt8(messageID & 0xFF), token, 0xB1,
            UInt8(ascii: "r"),
        ]
        if !payload.isEmpty { message += [0xFF] + payload }
        _ = unsafe send(socket, message, message.count, 0)
    }

    /// The next message that has come; nil when there is none.
    func next() -> Message? {
        var bytes = [UInt8](repeating: 0, count: 2048)
        let count = unsafe recv(socket, &bytes, bytes.count, 0)
        guard count >= 4 else { return nil }
        let mark = bytes[..<count].firstIndex(of: 0xFF) ?? count - 1
        return Message(
            type: bytes[0] >> 4 & 3, code: bytes[1], messageID: UInt16(bytes[2]) << 8 | UInt16(bytes[3]),
            payload: Array(bytes[(mark + 1)..<count]))
    }
}
