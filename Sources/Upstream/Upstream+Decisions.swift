internal import EventLoop
public import JSON
public import Journal
public import Provisioning
internal import Store

extension Upstream {
    /// What an administrator decides about a device that upstream refuses or has otherwise.
    public enum Decision: Sendable {
        /// Upstream is to have it under this name; here it keeps its own.
        case rename(Text)
        /// It stays as it is, here and there.
        case keepLocal
        /// It gets the credentials that upstream has, at its next request, for which its window opens.
        case adopt
    }

    /// Why a decision cannot be carried out; one line for people.
    public struct Objection: Error, Sendable {
        /// One line.
        public let description: String
    }

    /// Tells upstream again of a device that it refused or has otherwise.
    ///
    /// - Returns: whether there was anything to tell.
    public func retry(_ device: Device) throws(JournalError) -> Bool { try retry(device.id) }

    /// The same for a device of this id, which may have ended.
    public func retry(_ device: Text) throws(JournalError) -> Bool {
        resume()
        guard let state = undecided(device) else { return false }
        try tellAgain(device, state)
        return true
    }

    /// Tells upstream again of all devices that it refused, a few at each turn of the loop.
    ///
    /// - Returns: how many.
    public func retryAll() -> Int {
        resume()
        retrying = store.syncStates.filter { $0.value.kind == .refused }.map(\.key)
        return retrying.count
    }

    private func resume() {
        take(.resume)
        feed.hurry()
    }

    /// Makes some of those devices pending; what the disk does not take stays refused.
    func retrySome(until end: Duration) {
        while .monotonic < end, let device = retrying.popLast() {
            guard let state = store.syncStates[device], state.kind == .refused else { continue }
            do { try tellAgain(device, state) } catch { retrying = [] }
        }
    }

    /// Carries out a decision.
    ///
    /// - Returns: why not; nil when it is done.
    public func resolve(_ device: Device, _ decision: Decision) throws(JournalError) -> Objection? {
        guard let state = undecided(device.id) else { return .nothing }
        switch decision {
        case .rename(let name):
            if let fault = DeviceName.fault(name) { return Objection(description: fault) }
            var state = state
            state.name = name
            try tellAgain(device.id, state)
        case .keepLocal: try keep(device.id, state)
        case .adopt: return try adopt(device, state)
        }
        return nil
    }

    /// Leaves a device of this id, which may have ended, as it is at both ends.
    ///
    /// - Returns: why not; nil when it is done.
    public func keep(_ device: Text) throws(JournalError) -> Objection? {
        guard let state = undecided(device) else { return .nothing }
        try keep(device, state)
        return nil
    }

    private func keep(_ device: Text, _ state: SyncState) throws(JournalError) {
        let now = Duration.sinceEpoch.milliseconds
        try decide(state.name.map { SyncState(.confirmed, seq: state.seq, name: $0, since: now) }, of: device)
    }

    /// Whether upstream refuses something of a device of this id that has ended.
    public func refusesEnd(of device: Text) -> Bool { !store.mayHave(device) && undecided(device) != nil }

    private func undecided(_ device: Text) -> SyncState? {
        store.syncStates[device].flatMap { $0.kind == .refused || $0.kind == .conflict ? $0 : nil }
    }

    private func adopt(_ device: Device, _ state: SyncState) throws(JournalError) -> Objection? {
        guard let credentials = state.upstream else {
            return Objection(description: "upstream has said nothing of other credentials")
        }
        if let owner = try store.device(holding: credentials.id), owner.id != device.id {
            return Objection(description: "the credentials that upstream has are those of device '\(owner.name)' here")
        }
        var device = device
        device.credentials = credentials
        // The line that is written now opens the window for repeats.
        device.provisioned?.seq = nil
        if let suspension = store.upstreamSuspension { throw suspension.error }
        try store.put(device, now: Duration.sinceEpoch.milliseconds)
        try decide(
            state.name.map { SyncState(.confirmed, seq: state.seq, name: $0, since: state.since) }, of: device.id)
        return nil
    }

    private func tellAgain(_ device: Text, _ state: SyncState) throws(JournalError) {
        var state = state
        state.kind = .pending
        state.upstream = nil
        try decide(state, of: device)
        feed.retry(device)
    }

    /// Remembers what was decided; refused while the disk takes nothing, since nobody would know of it after a restart.
    private func decide(_ state: SyncState?, of device: Text) throws(JournalError) {
        if let suspension = store.upstreamSuspension { throw suspension.error }
        store.decide(state, of: device)
        sortedStates = [:]
    }
}

extension Upstream.Objection {
    fileprivate static var nothing: Upstream.Objection {
        Upstream.Objection(description: "upstream neither refuses this device nor has it otherwise")
    }
}
