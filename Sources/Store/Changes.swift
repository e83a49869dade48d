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
    let offset: UInt64
    /// The number of its record in its log.
    let seq: UInt64
    /// Nil when it is new.
    let old: Old?
}

/// All changes that are not on disk yet, oldest first.
struct Changes {
    private var changes: [Change] = []

    mutating func append(_ change: Change) { changes.append(change) }

    /// Whether the end of a device is among them.
    func end(_ device: Text) -> Bool {
        changes.contains { if case .deviceDeleted(device) = $0.event { true } else { false } }
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
