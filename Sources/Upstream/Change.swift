public import JSON
public import Provisioning

/// The newest state of one device, for upstream.
public struct Change: Sendable {
    /// What is to be told.
    public enum Content: Sendable {
        /// The device, and its profile if there is one.
        case device(Device, DeviceProfile?)
        /// It is gone.
        case deleted
    }

    /// The number of its line in the device log.
    public let seq: UInt64
    /// The device's id.
    public let device: Text
    /// What is to be told.
    public let content: Content
    /// What upstream is to call it: the device's name with the prefix of the configuration, or what an administrator
    /// chose; empty when it is gone.
    public let upstreamName: Text
    /// What upstream has called it so far, if upstream may have to be told of another name; nil otherwise.
    public var formerName: Text?

    /// A state of the given parts.
    public init(seq: UInt64, device: Text, content: Content, upstreamName: Text) {
        self.seq = seq
        self.device = device
        self.content = content
        self.upstreamName = upstreamName
    }
}
