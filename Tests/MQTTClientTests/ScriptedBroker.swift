import EventLoop
import Glibc
import Synchronization

private final class Record: Sendable {
    let accepted = Mutex(0)
    let ended = Mutex(0)
    let received = Mutex<[UInt8]>([])
}

/// Accepts connections and answers whatever it receives with the next bytes of a script; the last line is repeated.
final class ScriptedBroker: Sendable {
    let port: UInt16
    private let record: Record

    /// How many connections there have been.
    var accepted: Int { record.accepted.withLock { $0 } }
    /// How many connections the client has ended.
    var ended: Int { record.ended.withLock { $0 } }
    /// All that has been received.
    var received: [UInt8] { record.received.withLock { $0 } }

    /// CONNACK of MQTT 3.1.1 with a return code.
    static func acknowledgement(_ code: UInt8) -> [UInt8] { [0x20, 2, 0, code] }

    /// - Parameter script: what to send, a packet for each time that something has been received.
    init(_ script: [[UInt8]]) throws {
        let listening = FileDescriptor(owning: try system("socket") { socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0) })
        port = try bind(listening, listens: true)
        let raw = listening.relinquish()
        let record = Record()
        self.record = record
        try startThread("script") {
            while true {
                let connection = FileDescriptor(owning: accept(raw, nil, nil))
                guard connection.raw >= 0 else { return }
                record.accepted.withLock { $0 += 1 }
                var rest = script[...]
                var buffer = [UInt8](repeating: 0, count: 4096)
                while true {
                    let count = unsafe read(connection.raw, &buffer, buffer.count)
                    guard count > 0 else { break }
                    record.received.withLock { $0 += buffer.prefix(count) }
                    guard let next = rest.popFirst() else { continue }
                    _ = unsafe write(connection.raw, next, next.count)
                }
                record.ended.withLock { $0 += 1 }
            }
        }
    }
}
