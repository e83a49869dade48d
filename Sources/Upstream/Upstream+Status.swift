internal import EventLoop
public import JSON
internal import Journal
internal import Store

extension Upstream {
    /// How many devices are in which state.
    struct Counts {
        /// Newer than what upstream was told.
        var pending = 0
        /// In flight.
        var sent = 0
        var confirmed = 0
        var refused = 0
        var conflict = 0
    }

    /// Counts by the index in memory; reads nothing.
    func counts() -> Counts {
        var counts = Counts()
        // Of devices that have ended, and of which upstream has not taken note.
        var gone = 0
        for (device, state) in store.syncStates {
            if state.kind != .confirmed, !store.mayHave(device) { gone += 1 }
            switch state.kind {
            case .pending: if !feed.isInFlight(device) { counts.pending += 1 }
            case .refused: counts.refused += 1
            case .conflict: counts.conflict += 1
            case .confirmed: break
            }
        }
        counts.pending += (try? feed.pending()) ?? 0
        counts.sent = feed.inFlight
        let due = store.deviceCount - (plan.dialect.isForProvisionedDevices ? store.unprovisionedCount : 0)
        counts.pending = min(counts.pending, due)
        let others = counts.pending + counts.sent + counts.refused + counts.conflict - gone
        counts.confirmed = max(0, due - others)
        return counts
    }

    /// Writes the members of the status when there is no upstream.
    public static func writeStatusOff(to json: inout JSONWriter) {
        json.member("dialect", literal: "off")
        json.member("url", nil)
        json.member("state", literal: "off")
        for name: StaticString in ["since", "reason", "nextTry"] { json.member(name, nil) }
        for name: StaticString in ["cursor", "pending", "sent", "confirmed", "refused", "conflict"] {
            json.member(name, 0)
        }
    }

    /// Writes the members of the status.
    public func writeStatus(to json: inout JSONWriter) {
        json.member("dialect", word: plan.dialect)
        json.member("url", Text(plan.url))
        if let suspension = store.upstreamSuspension {
            // Whatever the link does, nobody is told of anything until the disk takes what comes of it.
            json.member("state", literal: "suspended")
            json.member("since", suspension.since)
            json.member("reason", Text(suspension.error.description))
        } else {
            json.member("state", Text(link.name))
            json.member("since", linkSince)
            json.member("reason", trouble.map { Text($0) })
        }
        json.name("nextTry")
        if case .waiting(_, let until) = link {
            json.integer(max(0, (until - .monotonic).components.seconds))
        } else {
            json.null()
        }
        json.member("cursor", feed.cursor)
        let counts = counts()
        json.member("pending", counts.pending)
        json.member("sent", counts.sent)
        json.member("confirmed", counts.confirmed)
        json.member("refused", counts.refused)
        json.member("conflict", counts.conflict)
    }
}

extension LinkState {
    /// What programs call it.
    var name: String {
        switch self {
        case .connecting: "connecting"
        case .connected: "connected"
        case .waiting: "waiting"
        case .stopped: "stopped"
        }
    }

    /// Why there is no connection; nil when there is one, or none was tried yet.
    var reason: String? {
        switch self {
        case .connecting, .connected: nil
        case .waiting(let reason, _), .stopped(let reason): reason
        }
    }
}
