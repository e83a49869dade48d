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
        return plan.namePrefix.isEmpty ? device.name : Text(utf8: Array(plan.namePrefix.utf8) + device.name.utf8)
    }

    /// Takes note of how it went with a device.
    func settle(_ device: Text, _ outcome: Outcome) {
        guard let seq = feed.settle(device) else { return }
        let old = store.syncStates[device]
        let now = Duration.sinceEpoch.milliseconds
        switch outcome {
        case .confirmed:
            let renamed = old?.name.map { SyncState(.confirmed, seq: seq, name: $0, since: now) }
            if old != nil, old?.kind != .confirmed || renamed == nil { unwritten.append((device, renamed)) }
        case .refused(let reason):
            let since = old?.kind == .refused ? old?.since ?? now : now
            unwritten.append(
                (device, SyncState(.refused, seq: seq, reason: Text(reason.rawValue), name: old?.name, since: since)))
        case .conflict(let credentials):
            unwritten.append(
                (device, SyncState(.conflict, seq: seq, name: old?.name, upstream: credentials, since: now)))
        }
        writeStates()
    }

    /// Writes the states that are not written yet.
    ///
    /// - Returns: whether none is left; the cursor must not pass them before.
    @discardableResult
    func writeStates() -> Bool {
        while let (device, state) = unwritten.first {
            do throws(JournalError) {
                try store.note(state, of: device, now: Duration.sinceEpoch.milliseconds)
            } catch {
                // Upstream may send credentials that no line holds: that they differ is remembered without them.
                guard error.isTooLong, state?.upstream != nil else { return false }
                unwritten[0].state?.upstream = nil
                continue
            }
            unwritten.removeFirst()
            sortedStates = [:]
        }
        return true
    }

    /// Makes refused devices to be told again: the configuration has changed.
    static func retryRefused(_ store: Store) {
        let now = Duration.sinceEpoch.milliseconds
        for (device, state) in store.syncStates where state.kind == .refused {
            var state = state
            state.kind = .pending
            try? store.note(state, of: device, now: now)
        }
    }

    /// Forgets all states: they are of another upstream.
    static func forgetStates(_ store: Store) {
        let now = Duration.sinceEpoch.milliseconds
        for device in store.syncStates.keys { try? store.note(nil, of: device, now: now) }
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
