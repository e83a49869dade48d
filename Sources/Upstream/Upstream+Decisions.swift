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
    public func retry(_ device: Device) throws(JournalError) -> Bool {
        take(.resume)
        guard let state = store.syncStates[device.id], state.kind == .refused || state.kind == .conflict else {
            return false
        }
        try tellAgain(device.id, state)
        return true
    }

    /// Tells upstream again of all devices that it refused, a few at each turn of the loop.
    ///
    /// - Returns: how many.
    public func retryAll() -> Int {
        take(.resume)
        retrying = store.syncStates.filter { $0.value.kind == .refused }.map(\.key)
        return retrying.count
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
        guard let state = store.syncStates[device.id], state.kind == .refused || state.kind == .conflict else {
            return Objection(description: "upstream neither refuses this device nor has it otherwise")
        }
        switch decision {
        case .rename(let name):
            if let fault = DeviceName.fault(name) { return Objection(description: fault) }
            var state = state
            state.name = name
            try tellAgain(device.id, state)
        case .keepLocal:
            let now = Duration.sinceEpoch.milliseconds
            try remember(state.name.map { SyncState(.confirmed, seq: state.seq, name: $0, since: now) }, of: device.id)
        case .adopt: return try adopt(device, state)
        }
        return nil
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
        try store.put(device, now: Duration.sinceEpoch.milliseconds)
        try remember(
            state.name.map { SyncState(.confirmed, seq: state.seq, name: $0, since: state.since) }, of: device.id)
        return nil
    }

    private func tellAgain(_ device: Text, _ state: SyncState) throws(JournalError) {
        var state = state
        state.kind = .pending
        state.upstream = nil
        try remember(state, of: device)
        feed.retry(device)
    }

    private func remember(_ state: SyncState?, of device: Text) throws(JournalError) {
        try store.note(state, of: device, now: Duration.sinceEpoch.milliseconds)
        sortedStates = [:]
        store.syncUpstream()
    }
}
