internal import JSON
internal import Provisioning

/// A change that is applied and not on disk yet, with what it takes to undo it.
struct Change {
    /// What was there before.
    indirect enum Old {
        case profile(DeviceProfile)
        case device(Registry.Located)
    }

    let event: Event
    private(set) var offset: UInt64
    /// The number of its record in its log.
    let seq: UInt64
    /// Nil when it is new.
    private(set) var old: Old?

    /// Puts other offsets of lines about devices in the place of those that it holds.
    mutating func renew(_ new: (UInt64) -> UInt64) {
        guard event.isOfDevice else { return }
        offset = new(offset)
        if case .device(let device) = old { old = .device(.init(device: device.device, offset: new(device.offset))) }
    }
}

/// All changes that are not on disk yet, oldest first.
struct Changes {
    private var changes: [Change] = []

    /// Takes the newest one.
    mutating func append(_ change: Change) { changes.append(change) }

    /// Whether the end of a device is among them.
    func end(_ device: Text) -> Bool {
        changes.contains { if case .deviceDeleted(device) = $0.event { true } else { false } }
    }

    /// Puts other offsets of lines about devices in the place of those that they hold.
    mutating func renew(_ offset: (UInt64) -> UInt64) {
        for index in changes.indices { changes[index].renew(offset) }
    }

    /// Forgets those that are on disk: the first ones, since a group takes all that is staged.
    mutating func settle(profiles: UInt64, devices: UInt64) {
        let pending = changes.firstIndex { $0.seq > ($0.event.isOfDevice ? devices : profiles) }
        changes.removeSubrange(..<(pending ?? changes.count))
    }

    /// Undoes all, newest first.
    mutating func revert(_ registry: inout Registry) {
        for change in changes.reversed() { registry.revert(change.event, at: change.offset, to: change.old) }
        changes = []
    }
}
