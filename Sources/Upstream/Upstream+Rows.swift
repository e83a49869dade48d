internal import EventLoop
public import JSON
public import Journal
public import Provisioning
internal import Store

extension Upstream {
    /// How a device and upstream stand.
    public enum DeviceState: String, Sendable, CaseIterable {
        case pending, sent, confirmed, refused, conflict
        /// It waits for its first SUCCESS here, before which nothing is told of it.
        case unprovisioned
    }

    /// A device as administrators see it.
    public struct Row: Sendable {
        /// The device's id.
        public let id: Text
        /// Its name; nil when it is gone.
        public var name: Text?
        /// What upstream calls it.
        public var upstreamName: Text?
        /// The number of its newest line, or of the one that was refused.
        public let seq: UInt64
        /// How it stands.
        public let state: DeviceState
        /// Why it is refused: a code.
        public let reason: Text?
        /// What upstream has otherwise.
        public var differs: [Text] = []
        /// Since when, in milliseconds since 1970; nil where that is not remembered.
        public let since: Int64?
    }

    /// How long the loop is held for rows.
    private static let slice = Duration.milliseconds(2)

    /// Some rows, in the order of their numbers.
    ///
    /// - Parameters:
    ///   - state: the state that rows must have; nil for any.
    ///   - after: 0 to begin, later what the last call returned.
    ///   - limit: the most rows; fewer, or none, when looking for them would hold up the loop.
    /// - Returns: the rows, and where to go on; nil at the end.
    public func rows(
        _ state: DeviceState?, after: UInt64, limit: Int
    ) throws(JournalError) -> (rows: [Row], next: UInt64?) {
        switch state {
        case .refused: try remembered(.refused, after, limit)
        case .conflict: try remembered(.conflict, after, limit)
        default: try logged(state, after, limit)
        }
    }

    /// Few devices are in such a state, and all of them are in memory.
    private func remembered(
        _ kind: SyncState.Kind, _ after: UInt64, _ limit: Int
    ) throws(JournalError) -> (rows: [Row], next: UInt64?) {
        let sorted = sortedStates[kind] ?? sort(kind)
        let deadline = Duration.monotonic + Self.slice
        var rows: [Row] = []
        for (seq, id) in sorted[Self.index(of: after, in: sorted)...] {
            if rows.count == limit || !rows.isEmpty && .monotonic >= deadline { return (rows, rows.last?.seq) }
            guard let remembered = store.syncStates[id], remembered.seq == seq else { continue }
            rows.append(row(id, try store.device(id: id), remembered))
        }
        return (rows, nil)
    }

    /// Sorts them once for all pages.
    private func sort(_ kind: SyncState.Kind) -> [(seq: UInt64, device: Text)] {
        let sorted = store.syncStates.lazy.filter { $0.value.kind == kind }.map { (seq: $0.value.seq, device: $0.key) }
            .sorted { $0.seq < $1.seq }
        sortedStates[kind] = sorted
        return sorted
    }

    /// The first place behind a number.
    private static func index(of after: UInt64, in sorted: [(seq: UInt64, device: Text)]) -> Int {
        var (low, high) = (0, sorted.count)
        while low < high {
            let middle = low + (high - low) / 2
            if sorted[middle].seq <= after { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func logged(
        _ state: DeviceState?, _ after: UInt64, _ limit: Int
    ) throws(JournalError) -> (rows: [Row], next: UInt64?) {
        let deadline = Duration.monotonic + Self.slice
        var place = Log.Place(after: after)
        var rows: [Row] = []
        while let line = try store.nextDevice(after: &place) {
            if case .device(let device, let seq) = line {
                let row = row(of: device, seq)
                if state == nil || row.state == state { rows.append(row) }
            }
            if rows.count == limit || .monotonic >= deadline { return (rows, place.seq) }
        }
        return (rows, nil)
    }

    /// The row of a device, given its newest line.
    public func row(of device: Device, _ seq: UInt64) -> Row {
        let remembered = store.syncStates[device.id]
        let state: DeviceState =
            if feed.isInFlight(device.id) {
                .sent
            } else if plan.dialect.isForProvisionedDevices, device.provisioned == nil {
                .unprovisioned
            } else if feed.isPending(device.id, seq) {
                .pending
            } else {
                remembered.flatMap { DeviceState(rawValue: $0.kind.rawValue) } ?? .confirmed
            }
        if let remembered, state == .refused || state == .conflict { return row(device.id, device, remembered) }
        return Row(
            id: device.id, name: device.name, upstreamName: upstreamName(of: device), seq: seq, state: state,
            reason: nil,
            since: nil)
    }

    private func row(_ id: Text, _ device: Device?, _ remembered: SyncState) -> Row {
        var row = Row(
            id: id, name: device?.name, upstreamName: device.map { upstreamName(of: $0) }, seq: remembered.seq,
            state: DeviceState(rawValue: remembered.kind.rawValue) ?? .refused, reason: remembered.reason,
            since: remembered.since)
        if let here = device?.credentials, let there = remembered.upstream {
            if here.type != there.type { row.differs.append("credentialsType") }
            if here.id != there.id { row.differs.append("credentialsId") }
            if here.value != there.value { row.differs.append("credentialsValue") }
        }
        return row
    }
}
