/// What happens on a connection, in this order.
public enum MQTTEvent: Sendable {
    /// The name is looked up and the broker called.
    case connecting
    /// CONNACK 0. The session counts up from 1; nothing of an earlier one goes on.
    case connected(session: UInt64)
    /// SUBACK: the filters that the broker refused, each with its reason; empty when all were granted.
    case subscribed(refused: [(filter: String, reason: String)])
    /// A message for one of the subscriptions.
    case message(MQTTMessage)
    /// The broker has acknowledged a publication of QoS 1 or higher; the code is 0, or 0x10 when nobody subscribes there
    /// (MQTT 5, 3.4.2.1). Of MQTT 3.1.1 it is always 0, even if the broker has thrown the message away.
    case published(id: UInt64, code: UInt8)
    /// A publication has failed, of whatever QoS, and is not tried again. With a code the broker has refused it, or has
    /// said that it would (MQTT 5, from 0x80 on); without one the connection ends, and it may have arrived all the same.
    case failed(id: UInt64, code: UInt8?, reason: String)
    /// The connection has ended, or there was none; what was not acknowledged may or may not have arrived. The time is
    /// that of the wait for the next try; nil when there is none.
    case disconnected(MQTTLoss, retryIn: Duration?)
}

/// Why there is no connection.
public struct MQTTLoss: Sendable, Equatable {
    /// What a program does differently from one case to the next.
    public enum Kind: Sendable {
        /// Nobody answers: no such host, nobody listens, no route, or not with a certificate that can be trusted.
        case unreachable
        /// The broker answered CONNECT with a refusal.
        case refused
        /// The broker let the client in, and refused all its subscriptions.
        case denied
        /// There was a connection, and it has ended.
        case lost
    }

    /// What exactly was the matter.
    public enum Cause: Sendable, Hashable {
        /// No such host, or the name server does not answer.
        case name
        /// TCP: nobody listens, no route, or no answer in time.
        case address
        /// TLS: the broker's certificate is not to be trusted, or it speaks no TLS from 1.2 on; or the certificates to
        /// check it by cannot be read.
        case tls
        /// CONNACK with this code: 1 to 5 of MQTT 3.1.1, from 0x80 on of MQTT 5.
        case refused(code: UInt8)
        /// All subscriptions were refused.
        case denied
        /// DISCONNECT 0x8E: another client has connected with the same id. MQTT 3.1.1 cannot tell.
        case takenOver
        /// DISCONNECT with another code (MQTT 5, 3.14.2.1).
        case dismissed(code: UInt8)
        /// The broker does not answer any more, or has not answered CONNECT.
        case silence
        /// The broker has closed the connection without a word.
        case closed
        /// Anything else: what answers does not speak MQTT, or this process lacks something.
        case other
    }

    /// The kind of loss.
    public let kind: Kind
    /// What exactly was the matter.
    public let cause: Cause
    /// For people; in part what the broker says.
    public let reason: String

    /// A loss of the given cause.
    ///
    /// - Parameters:
    ///   - cause: what was the matter.
    ///   - wasAccepted: whether there had been a CONNACK 0.
    ///   - reason: for people.
    public init(_ cause: Cause, wasAccepted: Bool = false, reason: String) {
        self.cause = cause
        self.reason = reason
        kind =
            switch cause {
            case .refused: .refused
            case .denied: .denied
            default: wasAccepted ? .lost : .unreachable
            }
    }
}
