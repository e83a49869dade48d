internal import Crypto
internal import EventLoop
internal import JSON
internal import Journal
internal import MQTTClient
internal import Provisioning
internal import Store

extension Upstream {
    /// What upstream calls a device: what an administrator chose, or its name behind the prefix.
    func upstreamName(of device: Device) -> Text {
        if let name = store.syncStates[device.id]?.name { return name }
        return prefixed(device.name)
    }

    /// What upstream has called a device so far, if that may be another name.
    func formerName(of device: Text) -> Text? { store.syncStates[device]?.formerName.map { prefixed($0) } }

    private func prefixed(_ name: Text) -> Text {
        plan.namePrefix.isEmpty ? name : Text(utf8: Array(plan.namePrefix.utf8) + name.utf8)
    }

    /// Takes note of how it went with a device.
    func settle(_ device: Text, _ outcome: Outcome) {
        let (told, isEnd) = (feed.offeredName(device), feed.isEnd(device))
        guard let seq = feed.settle(device) else { return }
        if isEnd, outcome == .confirmed { ended = max(ended, seq) }
        let old = store.syncStates[device]
        let now = Duration.sinceEpoch.milliseconds
        func note(_ kind: SyncState.Kind, since: Int64, _ change: (inout SyncState) -> Void) {
            var state = SyncState(kind, seq: seq, name: old?.name, formerName: old?.formerName, since: since)
            change(&state)
            remember(state, of: device)
        }
        switch outcome {
        case .confirmed:
            // It may have been renamed here while it was told.
            let formerName = old?.formerName.flatMap { prefixed($0) == told ? $0 : nil }
            var rest: SyncState?
            if old?.name != nil || formerName != nil {
                rest = SyncState(.confirmed, seq: seq, name: old?.name, formerName: formerName, since: now)
            }
            if old != nil, old?.kind != .confirmed || old?.formerName != formerName || rest == nil {
                remember(rest, of: device)
            }
        case .refused(let reason):
            note(.refused, since: old?.kind == .refused ? old?.since ?? now : now) { $0.reason = Text(reason.rawValue) }
        case .conflict(let credentials): note(.conflict, since: now) { $0.upstream = credentials }
        case .unanswered(let pause):
            note(.pending, since: old?.kind == .pending ? old?.since ?? now : now) { _ in }
            feed.retry(device, after: pause)
        }
    }

    /// Remembers the state of a device; nil when there is nothing to remember any more.
    func remember(_ state: SyncState?, of device: Text) {
        store.note(state, of: device)
        sortedStates = [:]
    }

    /// Makes refused devices to be told again: the configuration has changed.
    static func retryRefused(_ store: Store) {
        for (device, state) in store.syncStates where state.kind == .refused {
            var state = state
            state.kind = .pending
            store.note(state, of: device)
        }
    }

    /// Forgets all states: they are of another upstream, or of another name or content there.
    ///
    /// - Parameter keepsNames: whether what administrators chose to call devices there still holds.
    static func forgetStates(_ store: Store, butNames keepsNames: Bool) {
        let now = Duration.sinceEpoch.milliseconds
        for (device, state) in store.syncStates {
            let name = keepsNames ? state.name : nil
            store.note(name.map { SyncState(.confirmed, seq: state.seq, name: $0, since: now) }, of: device)
        }
    }
}

extension Settings {
    /// What tells these settings from others, as far as they decide what upstream takes; says nothing of the secrets.
    var digest: Text {
        var bytes = Array((login?.username ?? "").utf8) + [0]
        if let provisioning { bytes += provisioning.key.utf8 + [0] + provisioning.secret.exposed }
        return Text(utf8: Array(Digest.sha3Hex(bytes).prefix(8)))
    }
}

extension LinkState {
    /// Whether devices go upstream.
    var isUp: Bool { self == .connected }
}
