public import HTTPMessage
public import JSON
internal import Provisioning
internal import Store

/// What an administrator changed, for the audit log.
public struct AdminChange: Sendable {
    /// What was done to it.
    public enum Kind: Sendable {
        case created, changed, deleted
    }

    /// What was done.
    public let kind: Kind
    /// Who did it.
    public let peer: HTTPPeer
    /// The name of the profile, the device's one if there is a device.
    public let profile: Text?
    /// The name of the device; nil when the profile itself was changed.
    public let device: Text?
    /// The number of the record: in devices.jsonl for a device, else in profiles.jsonl.
    public let seq: UInt64?
}

extension AdminAPI {
    /// Reports a change of a profile once it is on disk.
    func note(_ kind: AdminChange.Kind, _ profile: DeviceProfile, _ call: Call) {
        report(kind, call, profile: profile.name, device: nil, seq: store.lastSeq(.profiles))
    }

    /// Reports a change of a device once it is on disk.
    func note(_ kind: AdminChange.Kind, _ device: Device, _ call: Call) {
        let profile = store.profile(id: device.profile)?.name
        report(kind, call, profile: profile, device: device.name, seq: store.lastSeq(.devices))
    }

    private func report(_ kind: AdminChange.Kind, _ call: Call, profile: Text?, device: Text?, seq: UInt64?) {
        let change = AdminChange(kind: kind, peer: call.request.peer, profile: profile, device: device, seq: seq)
        store.whenDurable { [onChange] failure in
            if failure == nil { onChange(change) }
        }
    }
}
