internal import Crypto
internal import EventLoop
public import JSON
public import Journal
public import Provisioning
public import Store

/// What a device asked and how it ended, for the log.
public struct Attempt {
    /// How a request ends.
    public enum Result {
        /// It got its identity under this name; `isNew` unless it had it before.
        case provisioned(name: Text, isNew: Bool)
        /// Unknown key, wrong secret or disabled profile.
        case notFound
        /// Refused.
        case refused(Reason)
        /// Not understood.
        case malformed(MalformedRequest)
        /// Refused because a record could not be read or written. Boxed, so that all the others are small.
        indirect case failed(JournalError)
    }

    /// How it ended.
    public let result: Result
    /// The name that was asked for; empty when there was none, or it could not be read.
    public let deviceName: Text
    /// The profile that the device has proven to belong to.
    public let profile: DeviceProfile?
    /// Who asked, such as an address.
    public let peer: String
    /// The face, such as `http`.
    public let via: Text
    /// The number of the record in devices.jsonl, if it made one.
    public internal(set) var seq: UInt64?
}

/// What a face must answer.
public enum ProvisionReply: Sendable {
    /// The answer of the rules.
    case answer(ProvisionAnswer)
    /// The request could not be read; faces without error answers of their own send the answer.
    case malformed(MalformedRequest, ProvisionAnswer)
}

/// Answers devices: the one place where the requests of all faces meet.
public final class DeviceAPI {
    private let store: Store
    private let report: (Attempt) -> Void
    private var random = SystemRandom()

    /// An API on the given store.
    ///
    /// - Parameters:
    ///   - store: what exists.
    ///   - report: is told of every attempt, when its answer leaves.
    public init(_ store: Store, report: @escaping (Attempt) -> Void) {
        self.store = store
        self.report = report
    }

    /// Decides a request, writes down what it changes, and replies once that is on disk.
    ///
    /// - Parameters:
    ///   - body: the request's JSON; the face bounds its length.
    ///   - via: the face, such as `http`.
    ///   - peer: who asks, for the log.
    ///   - reply: called once, at once or later, on the loop's thread.
    public func provision(_ body: [UInt8], via: Text, peer: String, _ reply: @escaping (ProvisionReply) -> Void) {
        let request: ProvisionRequest
        do { request = try ProvisionRequest(body) } catch {
            return reply(.malformed(error, refuse(error, via: via, peer: peer)))
        }
        let (decision, result) = decide(request, via)
        let attempt = Attempt(
            result: result, deviceName: request.deviceName, profile: decision.profile, peer: peer, via: via,
            seq: decision.isChange ? store.lastSeq(.devices) : nil)
        let legacyFields = decision.profile?.settings.legacyFields ?? !store.wantsModernAnswers
        // Many wait at once: neither the request, which has many parts, nor the answer does.
        let outcome = decision.outcome
        let again = decision.isChange ? nil : body
        store.whenDurable { [self] failure in
            guard failure != nil else {
                report(attempt)
                return reply(.answer(ProvisionAnswer(outcome, legacyFields: legacyFields)))
            }
            // What it changed is undone; what it only saw may be, so it is decided anew.
            if let again { return provision(again, via: attempt.via, peer: attempt.peer, reply) }
            report(
                Attempt(
                    result: .refused(.storage), deviceName: attempt.deviceName, profile: attempt.profile,
                    peer: attempt.peer, via: attempt.via))
            reply(.answer(ProvisionAnswer(.failure(.storage), legacyFields: legacyFields)))
        }
    }

    /// Refuses what a face could not take in, or whose answer has no way to go.
    ///
    /// - Parameters:
    ///   - reason: the code of the refusal.
    ///   - via: the face.
    ///   - peer: who asks, for the log.
    func refuse(_ reason: Reason, via: Text, peer: String) -> ProvisionAnswer {
        report(Attempt(result: .refused(reason), deviceName: "", profile: nil, peer: peer, via: via))
        return ProvisionAnswer(.failure(reason), legacyFields: !store.wantsModernAnswers)
    }

    /// Refuses a request that could not be read.
    ///
    /// - Parameters:
    ///   - malformed: what is wrong with it.
    ///   - via: the face.
    ///   - peer: who asks, for the log.
    func refuse(_ malformed: MalformedRequest, via: Text, peer: String) -> ProvisionAnswer {
        report(Attempt(result: .malformed(malformed), deviceName: "", profile: nil, peer: peer, via: via))
        return ProvisionAnswer(malformed, legacyFields: !store.wantsModernAnswers)
    }

    private func decide(_ request: ProvisionRequest, _ via: Text) -> (Decision, Attempt.Result) {
        let now = Duration.sinceEpoch.milliseconds
        let profile = store.profile(key: request.provisionKey)
        do throws(JournalError) {
            let decision = try request.decide(profile: profile, directory: store, via: via, now: now, random: &random)
            switch decision.outcome {
            case .success(let device, _):
                if decision.isChange { try store.put(device, now: now) }
                return (decision, .provisioned(name: device.name, isNew: decision.isChange))
            case .notFound: return (decision, .notFound)
            case .failure(let reason): return (decision, .refused(reason))
            }
        } catch {
            // A record that is too long is the device's fault, anything else the hub's.
            let reason = error.isTooLong ? Reason.credentialsInvalid : .storage
            let isKnown = error.isTooLong || error.isSuspended
            return (
                Decision(outcome: .failure(reason), profile: profile), isKnown ? .refused(reason) : .failed(error)
            )
        }
    }
}

extension JournalError {
    /// Whether it was said already that the disk takes nothing.
    fileprivate var isSuspended: Bool {
        if case .suspended = kind { true } else { false }
    }
}
