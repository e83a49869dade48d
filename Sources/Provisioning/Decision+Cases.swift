internal import Crypto
internal import JSON

/// A request whose secret was right: what is known before devices are looked up.
struct Case {
    let request: ProvisionRequest
    let profile: DeviceProfile
    let name: Text
    let proof: Proof
    let via: Text

    /// ALLOW_CREATE_NEW_DEVICES: an unknown name becomes a device, a known one is a repeat or taken.
    func create<Directory: DeviceDirectory>(
        _ directory: Directory, _ now: Int64, _ random: inout some RandomNumberGenerator
    ) throws(Directory.Failure) -> Decision {
        if !name.isEmpty, let owner = try directory.device(named: name) {
            guard owner.profile == profile.id, owner.provisioned != nil else { return refused(.nameTaken) }
            return repeated(owner, directory, bringsProof: brings(owner.credentials))
        }
        if !name.isEmpty, DeviceName.fault(name) != nil { return refused(.nameInvalid) }
        guard directory.deviceCount(of: profile) < profile.settings.maxDevices else { return refused(.quota) }
        let credentials: Credentials
        let source: Credentials.Source
        switch RequestedCredentials(request) {
        case .invalid: return refused(.credentialsInvalid)
        case .none:
            credentials = Credentials(type: .accessToken, id: Text(utf8: random.alphanumerics(20)))
            source = .hub
        case .some(let brought):
            guard try directory.device(holding: brought.id) == nil else { return refused(.credentialsTaken) }
            credentials = brought
            source = .device
        }
        let device = Device(
            id: Text(utf8: random.uuid()), name: name.isEmpty ? Text(utf8: random.alphanumerics(20)) : name,
            profile: profile.id, createdTime: now, credentials: credentials,
            attributes: Device.provisionedAttributes,
            isGateway: request.isGateway && profile.settings.allowGateway,
            provisioned: Device.Provisioned(via: via, source: source))
        return Decision(outcome: .success(device, madeUpName: name.isEmpty), isChange: true, profile: profile)
    }

    /// CHECK_PRE_PROVISIONED_DEVICES: the registered device gets its existing credentials; those in the request are ignored.
    func confirm<Directory: DeviceDirectory>(_ directory: Directory) throws(Directory.Failure) -> Decision {
        guard !name.isEmpty, var device = try directory.device(named: name), device.profile == profile.id else {
            return refused(.notPreprovisioned)
        }
        switch device.attributes[Device.provisionState] {
        case nil, .null:
            device.attributes[Device.provisionState] = Device.isProvisioned
            device.provisioned = Device.Provisioned(via: via, source: .operator)
            return Decision(outcome: .success(device, madeUpName: false), isChange: true, profile: profile)
        case Device.isProvisioned:
            return repeated(device, directory, bringsProof: brings(device.credentials) ?? false ? true : nil)
        default: return refused(.notPreprovisioned)
        }
    }

    /// A device that asks again gets the same credentials if it may (protocol.md D4).
    ///
    /// - Parameter bringsProof: whether it brings its credentials; nil when it brings none, or they do not count.
    private func repeated(_ device: Device, _ directory: some DeviceDirectory, bringsProof: Bool?) -> Decision {
        let same = Decision(outcome: .success(device, madeUpName: false), profile: profile)
        let refusal = refused(.alreadyProvisioned)
        let isOpen: Bool
        switch profile.settings.repeatWindow {
        case .seconds(0): return refusal
        case .seconds(let window): isOpen = directory.secondsSinceProvisioning(device).map { $0 < window } ?? false
        case .forever: isOpen = true
        }
        if let bringsProof { return bringsProof ? same : refusal }
        if proof == .device { return same }
        return isOpen && device.provisioned?.source != .device ? same : refusal
    }

    /// Whether the request brings exactly these credentials, compared in constant time; nil when it brings none.
    private func brings(_ credentials: Credentials) -> Bool? {
        switch RequestedCredentials(request) {
        case .none: return nil
        case .invalid: return false
        case .some(let brought):
            let sameId = Secret(credentials.id.utf8).matches(brought.id.utf8)
            let stored = credentials.canonical.value?.utf8 ?? []
            let sameValue = Secret(stored).matches(brought.value?.utf8 ?? [])
            return sameId && sameValue && credentials.type == brought.type
        }
    }

    private func refused(_ reason: Reason) -> Decision {
        Decision(outcome: .failure(reason), profile: profile)
    }
}
