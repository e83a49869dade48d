public import MQTTClient

/// What happened, for a dialect.
public enum Input: Sendable {
    /// The hub has started; comes first, once.
    case start
    /// The next device whose state upstream is to know; not while this device is in flight already.
    case device(Change)
    /// CONNACK 0.
    case connected(Channel)
    /// SUBACK: the filters that were refused; some old servers never send one.
    case subscribed(Channel, refused: [(filter: String, reason: String)])
    /// A message for one of the subscriptions.
    case message(Channel, MQTTMessage)
    /// PUBACK, or that the publication could not be handed over; a code from 0x80 on is a refusal (MQTT 5, 2.4).
    case acknowledged(Channel, Receipt, code: UInt8, reason: String)
    /// There is no connection any more, or there never was; nothing that it had in flight is acknowledged any more.
    ///
    /// Comes once for each `Action.connect` unless `Action.disconnect` was there first. Nobody tries again by himself.
    case disconnected(Channel, MQTTLoss)
    /// The deadline has passed; may come too early or too often.
    case time
    /// An administrator wants a dialect that waits or has stopped to try again at once.
    case resume
    /// The hub stops: what is published now still goes out, if it does so within a second.
    case stop
}

/// What a dialect calls a publication that is to be acknowledged.
public struct Receipt: Hashable, Sendable {
    /// Its number, as the dialect chose it.
    public let number: UInt64

    /// The publication of this number.
    public init(_ number: UInt64) { self.number = number }
}
