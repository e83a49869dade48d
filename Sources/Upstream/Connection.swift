internal import EventLoop
internal import MQTTClient

/// One connection of a dialect, from the call to its end.
final class Connection {
    let channel: Channel
    /// Tells it from others of the channel.
    let number: UInt64
    let client: MQTTClient
    private var receipts: [UInt64: Receipt] = [:]

    /// Starts to connect.
    ///
    /// - Parameters:
    ///   - channel: what the dialect calls it.
    ///   - number: tells it from others of the channel.
    ///   - options: where to and as whom.
    ///   - handler: takes the events, on the loop's thread.
    init(
        _ channel: Channel, _ number: UInt64, _ options: MQTTOptions, _ handler: @escaping (MQTTEvent) -> Void
    ) throws(SystemError) {
        self.channel = channel
        self.number = number
        client = try MQTTClient(options, handler)
    }

    func publish(_ publication: MQTTPublication, _ receipt: Receipt?) {
        // Nothing is taken only when there is no connection any more, as an event that waits already will tell.
        guard let id = client.publish(publication) else { return }
        if let receipt { receipts[id] = receipt }
    }

    /// What an event means to the dialect, if anything.
    func input(_ event: MQTTEvent) -> Input? {
        switch event {
        case .connecting: return nil
        case .connected: return .connected(channel)
        case .subscribed(let refused): return .subscribed(channel, refused: refused)
        case .message(let message): return .message(channel, message)
        case .published(let id, let code):
            return receipts.removeValue(forKey: id).map { .acknowledged(channel, $0, code: code, reason: "") }
        case .failed(let id, let code, let reason):
            guard let receipt = receipts.removeValue(forKey: id), let code else { return nil }
            return .acknowledged(channel, receipt, code: code, reason: reason)
        case .disconnected(let loss, _): return .disconnected(channel, loss)
        }
    }
}
