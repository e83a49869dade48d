internal import JSON
internal import Journal
internal import Provisioning

/// One change of what exists, as a line of a log says it.
enum Event {
    case profile(DeviceProfile)
    case profileDeleted(id: Text)
    /// Boxed, since a device has many parts and its event is kept until it is on disk.
    indirect case device(Device)
    case deviceDeleted(id: Text)

    /// Whether it is one of devices.jsonl.
    var isOfDevice: Bool {
        switch self {
        case .device, .deviceDeleted: true
        case .profile, .profileDeleted: false
        }
    }
}

/// What exists: the profiles themselves, and where in the log the devices are.
///
/// `apply` is the only thing that changes it, for new events and for those read back at the start alike.
struct Registry {
    /// A device as the log has it.
    struct Located {
        let device: Device
        let offset: UInt64
    }

    /// What a device is found by.
    enum Key {
        case id(Text)
        case name(Text)
        case credentialsId(Text)

        /// Reads the candidates of this key until one has it.
        func find(
            in candidates: [UInt64], _ read: (UInt64) throws(JournalError) -> Device
        ) throws(JournalError) -> Located? {
            for offset in candidates {
                let device = try read(offset)
                if isKey(of: device) { return Located(device: device, offset: offset) }
            }
            return nil
        }

        private func isKey(of device: Device) -> Bool {
            switch self {
            case .id(let id): device.id == id
            case .name(let name): device.name == name
            case .credentialsId(let id): device.credentials.id == id
            }
        }
    }

    private(set) var profiles: [Text: DeviceProfile] = [:]
    private var profileByKey: [Text: DeviceProfile] = [:]
    private var deviceCounts: [Text: UInt32] = [:]
    /// Devices that wait for their first SUCCESS.
    private(set) var unprovisionedCount = 0
    /// How many devices are there whose newest state cannot be known.
    var heldBack = 0
    private(set) var byId: HashIndex
    private(set) var byName: HashIndex
    private(set) var byCredentialsId: HashIndex

    init(seed: UInt64) {
        byId = HashIndex(seed: seed)
        byName = HashIndex(seed: seed)
        byCredentialsId = HashIndex(seed: seed)
    }

    var deviceCount: Int { byId.count }

    func profile(key: Text) -> DeviceProfile? { profileByKey[key] }

    func deviceCount(of profile: Text) -> UInt32 { deviceCounts[profile, default: 0] }

    /// Devices whose profile is not there, as after a restore of an older profiles.jsonl.
    var orphanCount: UInt32 { deviceCounts.filter { profiles[$0.key] == nil }.values.reduce(0, +) }

    /// Takes in an event.
    ///
    /// - Parameters:
    ///   - event: what happened.
    ///   - offset: where its line is.
    ///   - old: what a device was before; looked up by its id before its new line is staged.
    mutating func apply(_ event: Event, at offset: UInt64, replacing old: Located? = nil) {
        switch event {
        case .profile(let profile):
            forgetKey(of: profile.id)
            profiles[profile.id] = profile
            if let key = profile.provisionKey { profileByKey[key] = profile }
        case .profileDeleted(let id):
            forgetKey(of: id)
            profiles[id] = nil
        case .device(let device):
            if let old { remove(old) }
            byId.insert(device.id.utf8, at: offset)
            byName.insert(device.name.utf8, at: offset)
            byCredentialsId.insert(device.credentials.id.utf8, at: offset)
            deviceCounts[device.profile, default: 0] += 1
            if device.provisioned == nil { unprovisionedCount += 1 }
        case .deviceDeleted:
            if let old { remove(old) }
        }
    }

    /// Undoes an event: the newest of those that were applied and not undone.
    ///
    /// - Parameters:
    ///   - event: what `apply` took in.
    ///   - offset: where its line was.
    ///   - old: what the device or the profile was before.
    mutating func revert(_ event: Event, at offset: UInt64, to old: Change.Old?) {
        switch event {
        case .profile(let profile):
            forgetKey(of: profile.id)
            profiles[profile.id] = nil
        case .device(let device): remove(Located(device: device, offset: offset))
        case .profileDeleted, .deviceDeleted: break
        }
        switch old {
        case .profile(let old): apply(.profile(old), at: 0)
        case .device(let old): apply(.device(old.device), at: old.offset)
        case nil: break
        }
    }

    /// Takes away a profile whose newest state cannot be read: nobody is provisioned by an older one.
    mutating func withdraw(profile id: Text) { apply(.profileDeleted(id: id), at: 0) }

    /// Whether the newest line of the device is the one at the offset; reads nothing.
    func isNewest(_ id: Text, at offset: UInt64) -> Bool { byId.candidates(id.utf8).contains(offset) }

    /// Notes that the newest state of a device is on a line that cannot be read: whoever looks for it learns that.
    mutating func lose(_ old: Located, at offset: UInt64) {
        remove(old)
        apply(.device(old.device), at: offset)
    }

    /// Puts other offsets in the place of all that it holds.
    mutating func renew(_ offset: (UInt64) -> UInt64) {
        byId.renew(offset)
        byName.renew(offset)
        byCredentialsId.renew(offset)
    }

    private mutating func forgetKey(of id: Text) {
        if let key = profiles[id]?.provisionKey { profileByKey[key] = nil }
    }

    private mutating func remove(_ old: Located) {
        byId.remove(old.device.id.utf8, at: old.offset)
        byName.remove(old.device.name.utf8, at: old.offset)
        byCredentialsId.remove(old.device.credentials.id.utf8, at: old.offset)
        deviceCounts[old.device.profile, default: 1] -= 1
        if old.device.provisioned == nil { unprovisionedCount -= 1 }
    }
}

extension Event {
    /// The event of a line in profiles.jsonl.
    init(profileRecord record: Record) throws(InvalidRecord) {
        guard let json = record.json["profile"] else { throw InvalidRecord("no profile in it") }
        switch record.operation {
        case .put: self = .profile(try DeviceProfile(json))
        case .delete:
            guard let id = json["id"]?["id"]?.text else { throw InvalidRecord("a deletion without id") }
            self = .profileDeleted(id: id)
        }
    }
}

extension Event {
    /// The event of a line in devices.jsonl.
    init(deviceRecord record: Record) throws(InvalidRecord) {
        switch record.operation {
        case .put: self = .device(try Device(record))
        case .delete:
            guard let id = record.json["device"]?["id"]?.text else { throw InvalidRecord("a deletion without id") }
            self = .deviceDeleted(id: id)
        }
    }
}

extension Device {
    /// The device of a line in devices.jsonl.
    init(_ record: Record) throws(InvalidRecord) {
        guard record.operation == .put, let json = record.json["device"] else { throw InvalidRecord("no device in it") }
        try self.init(json, seq: record.seq)
    }
}
