internal import Crypto
public import JSON

/// Stable codes of refusals, for programs (protocol.md D3).
public enum Reason: String, Sendable {
    case nameTaken = "NAME_TAKEN"
    case nameInvalid = "NAME_INVALID"
    case credentialsTaken = "CREDENTIALS_TAKEN"
    case credentialsInvalid = "CREDENTIALS_INVALID"
    case notPreprovisioned = "NOT_PREPROVISIONED"
    case alreadyProvisioned = "ALREADY_PROVISIONED"
    case quota = "QUOTA"
    case storage = "STORAGE"
    case privateAnswerImpossible = "PRIVATE_ANSWER_IMPOSSIBLE"
    case malformed = "MALFORMED"
}

/// What a decision must be able to look up; a reading that fails ends the decision.
public protocol DeviceDirectory {
    /// Why a record could not be read.
    associatedtype Failure: Error
    /// The device of exactly this name.
    func device(named name: Text) throws(Failure) -> Device?
    /// The device whose credentials have this id, of whatever type and profile.
    func device(holding credentialsId: Text) throws(Failure) -> Device?
    /// How many devices the profile has.
    func deviceCount(of profile: DeviceProfile) -> UInt32
    /// Seconds since the device was provisioned, by the monotonic clock; nil when that is so long ago that every window has run out.
    func secondsSinceProvisioning(_ device: Device) -> UInt64?
}

/// The answer to a request, and what must be written down before it may leave.
public struct Decision: Sendable {
    /// How a request ends.
    public enum Outcome: Sendable {
        /// The device has its identity; `madeUpName` when the hub chose the name. Boxed, since a device has many parts.
        indirect case success(Device, madeUpName: Bool)
        /// Unknown key, wrong secret, disabled profile: one and the same answer.
        case notFound
        /// Refused, and why.
        case failure(Reason)
    }

    /// The answer.
    public let outcome: Outcome
    /// Whether the device of the answer is new, or has changed, and must be written down first.
    public let isChange: Bool
    /// The profile that the device has proven to belong to; nil when it has not.
    public let profile: DeviceProfile?

    /// A decision of the given parts.
    public init(outcome: Outcome, isChange: Bool = false, profile: DeviceProfile?) {
        self.outcome = outcome
        self.isChange = isChange
        self.profile = profile
    }
}

extension ProvisionRequest {
    /// Decides the request (protocol.md 2, 4 and 5, with D4, D5 and D7); reads only.
    ///
    /// - Parameters:
    ///   - profile: the one with the request's key.
    ///   - directory: the devices there are.
    ///   - via: the face that the request came by.
    ///   - now: milliseconds since 1970, for `createdTime`.
    ///   - random: for names, tokens and ids.
    /// - Returns: what to write and what to answer.
    /// - Throws: what the directory throws.
    public func decide<Directory: DeviceDirectory>(
        profile: DeviceProfile?, directory: Directory, via: Text, now: Int64, random: inout some RandomNumberGenerator
    ) throws(Directory.Failure) -> Decision {
        let name = DeviceName.trimmed(deviceName)
        // Before the key is looked at, as ThingsBoard does.
        if name.isEmpty && !deviceName.isEmpty { return Decision(outcome: .failure(.nameInvalid), profile: nil) }
        guard let proof = proof(profile, name), let profile else { return Decision(outcome: .notFound, profile: nil) }
        let case_ = Case(request: self, profile: profile, name: name, proof: proof, via: via)
        return switch profile.strategy {
        case .disabled: Decision(outcome: .notFound, profile: nil)
        case .allowCreateNewDevices: try case_.create(directory, now, &random)
        case .checkPreProvisionedDevices: try case_.confirm(directory)
        }
    }

    /// How the secret was right; nil when it was not.
    ///
    /// Names are looked up only after it, so that the time of an answer tells nothing about them.
    private func proof(_ profile: DeviceProfile?, _ name: Text) -> Proof? {
        guard !provisionKey.isEmpty, !provisionSecret.exposed.isEmpty, let profile,
            let secret = profile.provisionSecret,
            !secret.exposed.isEmpty
        else {
            // As much work as for a known key with a shared secret.
            _ = provisionSecret.matches(provisionSecret)
            return nil
        }
        let isShared = secret.matches(provisionSecret) && profile.settings.secretMode != .derived
        guard profile.settings.secretMode != .shared, let derived = profile.derivedSecret(deviceName: name) else {
            return isShared ? .profile : nil
        }
        let isDerived = provisionSecret.matches(derived) && !name.isEmpty
        return isDerived ? .device : isShared ? .profile : nil
    }
}

/// What the secret of a request has proven.
enum Proof {
    /// That the sender knows the profile's secret.
    case profile
    /// That the sender is the named device.
    case device
}
