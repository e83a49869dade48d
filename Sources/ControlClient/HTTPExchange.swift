/// One request and its answer over a connection of its own, in HTTP/1.0 (RFC 1945).
///
/// HTTP/1.0 asks for the plainest answer there is: no chunks, no keeping alive, the end of the stream ends it.
struct HTTPExchange {
    /// What was answered.
    struct Answer {
        let status: Int
        let body: [UInt8]
    }

    /// How long sending and the whole answer may take.
    static let answerLimit = Duration.seconds(30)
    /// The largest answer that is taken in, in bytes.
    static let largestAnswer = 64 * 1024 * 1024
    /// The largest head of an answer, in bytes.
    static let largestHead = 64 * 1024

    let endpoint: Endpoint
    let method: String
    let target: String
    var body: [UInt8]?

    /// Connects, asks, and waits for the whole answer.
    func run() throws(ControlError) -> Answer {
        let connection = try Connection.open(endpoint)
        let deadline = ContinuousClock.now.advanced(by: Self.answerLimit)
        try connection.send(request, until: deadline)
        var bytes: [UInt8] = []
        var head: Head?
        while bytes.count < head?.end ?? Int.max {
            let chunk = try connection.receive(until: deadline)
            guard !chunk.isEmpty else { break }
            bytes += chunk
            if head == nil { head = try readHead(bytes) }
            guard head != nil || bytes.count <= Self.largestHead else { throw unreadable("the answer is not HTTP") }
            guard bytes.count - (head?.length ?? 0) <= Self.largestAnswer else {
                throw unreadable("the answer is larger than \(Self.largestAnswer >> 20) MiB")
            }
        }
        guard let head else {
            throw bytes.isEmpty
                ? ControlError(
                    .unreachable, "\(endpoint)", "the connection was closed without an answer", advice: Connection.doubt
                )
                : unreadable("the answer is not HTTP")
        }
        guard head.end == .max || bytes.count >= head.end else {
            throw unreadable("the answer ends after \(bytes.count - head.length) of \(head.end - head.length) bytes")
        }
        return Answer(status: head.status, body: Array(bytes[head.length..<min(bytes.count, head.end)]))
    }

    private var request: [UInt8] {
        var text = "\(method) \(target) HTTP/1.0\r\nHost: \(endpoint.authority)\r\nConnection: close\r\n"
        text += "User-Agent: nearhub\r\nAccept: application/json\r\n"
        if let body { text += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n" }
        return Array((text + "\r\n").utf8) + (body ?? [])
    }

    private func unreadable(_ reason: String) -> ControlError {
        ControlError(.unreadable, "\(endpoint)", reason, advice: "does a hub listen there?")
    }
}

// MARK: - The head of an answer

extension HTTPExchange {
    private struct Head {
        let status: Int
        /// Bytes of the head, its ending empty line among them.
        let length: Int
        /// Where the answer ends; Int.max when the end of the stream says so.
        let end: Int
    }

    /// The head, once all of it is there.
    private func readHead(_ bytes: [UInt8]) throws(ControlError) -> Head? {
        guard let length = Self.headLength(bytes) else { return nil }
        let lines = bytes[..<length].split(separator: UInt8(ascii: "\n")).map { line in
            String(decoding: line, as: UTF8.self).filter { $0 != "\r" && $0 != "\r\n" }
        }
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]), (200...599).contains(status)
        else { throw unreadable("the answer is not HTTP") }
        var end = Int.max
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            switch line[..<colon].lowercased() {
            case "content-length":
                guard let count = Int(value), (0...Self.largestAnswer).contains(count) else {
                    throw unreadable("the answer is larger than \(Self.largestAnswer >> 20) MiB")
                }
                end = length + count
            case "transfer-encoding": throw unreadable("the answer is not HTTP/1.0")
            default: break
            }
        }
        return Head(status: status, length: length, end: end)
    }

    /// The length of the head with its empty line; nil while that has not arrived.
    private static func headLength(_ bytes: [UInt8]) -> Int? {
        let end: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A]
        guard bytes.count >= end.count else { return nil }
        return (0...(bytes.count - end.count)).first { bytes[$0..<($0 + end.count)].elementsEqual(end) }.map {
            $0 + end.count
        }
    }
}
