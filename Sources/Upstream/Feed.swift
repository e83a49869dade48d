internal import EventLoop
internal import JSON
internal import Journal
internal import Provisioning
internal import Store

/// Which devices upstream is to be told of next: a cursor over the device log, and what of it is in flight.
///
/// There is no second queue. The log is read on from a place; what is read and not settled yet is in flight, never more
/// than the dialect takes. A device in flight is not offered again until it is settled; if a newer line of it was read
/// meanwhile, its newest state comes next. The cursor is the number below the lowest that is not settled.
struct Feed {
    private struct Flight {
        /// The line that was offered.
        let line: UInt64
        /// The same if it holds the cursor; nil for a device that is told again.
        var seq: UInt64?
        /// The first line read meanwhile.
        var next: UInt64?
    }

    private let store: Store
    /// Whether devices that were never provisioned are passed over.
    private let isForProvisioned: Bool
    private var place: Log.Place
    private var flights: [Text: Flight] = [:]
    /// Devices that were settled when a newer line of them had been read already, each with that line.
    private var again: [Text: UInt64] = [:]
    /// Devices that are to be told again, lowest line first.
    private var retries: [Text] = []
    /// Whether all that is on disk has been read, or waits for the disk.
    private(set) var isAtEnd = false
    /// How many damaged lines were passed over.
    private(set) var damaged = 0

    /// Begins behind the given line.
    init(_ store: Store, after seq: UInt64, isForProvisioned: Bool) {
        self.store = store
        self.isForProvisioned = isForProvisioned
        place = Log.Place(after: seq)
        retry()
    }

    /// The number up to which everything is settled.
    var cursor: UInt64 {
        let open = flights.values.lazy.compactMap { $0.seq ?? $0.next } + again.values
        return open.min().map { min(place.seq, $0 - 1) } ?? place.seq
    }

    /// How many devices are in flight.
    var inFlight: Int { flights.count }

    /// Whether nothing is left to be told.
    var isEmpty: Bool { isAtEnd && flights.isEmpty && again.isEmpty && retries.isEmpty }

    /// Whether the device is in flight.
    func isInFlight(_ device: Text) -> Bool { flights[device] != nil }

    /// How many devices have not been read yet.
    func pending() throws(JournalError) -> Int { try store.deviceCount(behind: place) + again.count }

    /// Whether the newest state of a device, whose line has this number, is still to be told.
    func isPending(_ device: Text, _ seq: UInt64) -> Bool { seq > place.seq || again[device] != nil }

    /// The next device, and takes it in flight; nil when there is none, or not before the deadline.
    mutating func next(until deadline: Duration, name: (Device) -> Text) throws(JournalError) -> Change? {
        // One whose newest line is not on disk yet waits: that line may be taken back, and the one before is news again.
        for (device, line) in again where !isStaged(device) {
            again[device] = nil
            if let change = try newest(device, line, name) {
                return takeOff(change, Flight(line: change.seq, seq: change.seq))
            }
        }
        while let device = retries.last, !isStaged(device) {
            retries.removeLast()
            guard flights[device] == nil, store.syncStates[device]?.kind == .pending else { continue }
            if let change = try newest(device, 0, name) { return takeOff(change, Flight(line: change.seq, seq: nil)) }
        }
        repeat {
            isAtEnd = false
            guard let line = try store.nextDevice(after: &place) else {
                isAtEnd = true
                return nil
            }
            if let change = fresh(line, name) { return takeOff(change, Flight(line: change.seq, seq: change.seq)) }
        } while .monotonic < deadline
        return nil
    }

    /// Reads no further until it is asked again.
    mutating func pause() { isAtEnd = true }

    /// Takes note that a device is not in flight any more.
    ///
    /// - Returns: the line that was offered; nil when it was not in flight.
    mutating func settle(_ device: Text) -> UInt64? {
        guard let flight = flights.removeValue(forKey: device) else { return nil }
        if let next = flight.next { again[device] = next }
        return flight.line
    }

    /// Voids all that is in flight, and goes back to a line.
    mutating func rewind(to seq: UInt64) {
        place = Log.Place(after: min(seq, cursor))
        flights = [:]
        again = [:]
        isAtEnd = false
        retry()
    }

    /// Takes a device that is to be told again, and whose state says so.
    mutating func retry(_ device: Text) { retries.append(device) }

    /// Looks for devices that are to be told again.
    private mutating func retry() {
        retries = store.syncStates.filter { $0.value.kind == .pending }.sorted { $0.value.seq > $1.value.seq }.map(
            \.key)
    }

    private mutating func takeOff(_ change: Change, _ flight: Flight) -> Change {
        flights[change.device] = flight
        return change
    }

    /// What a line says, if it is news and its device is not in flight.
    private mutating func fresh(_ line: Store.DeviceLine, _ name: (Device) -> Text) -> Change? {
        let change: Change
        switch line {
        case .replaced: return nil
        case .damaged:
            damaged += 1
            return nil
        case .deleted(let id, let seq):
            change = Change(seq: seq, device: id, content: .deleted, upstreamName: "")
        case .device(let device, let seq):
            if isForProvisioned, device.provisioned == nil { return nil }
            change = self.change(device, seq, name)
        }
        // Told with its newest state in any case.
        if again[change.device] != nil { return nil }
        guard var flight = flights[change.device] else { return change }
        if flight.next == nil { flight.next = change.seq }
        flights[change.device] = flight
        return nil
    }

    /// Whether the newest line of a device is not on disk yet; one that cannot be read is met again when it is told.
    private func isStaged(_ device: Text) -> Bool { (try? store.isStaged(device)) ?? false }

    /// The newest state of a device; nil when its line is still to be read.
    private func newest(_ id: Text, _ line: UInt64, _ name: (Device) -> Text) throws(JournalError) -> Change? {
        if let (device, seq) = try store.durableDevice(id: id) {
            return seq <= place.seq ? change(device, seq, name) : nil
        }
        guard try store.device(id: id) == nil, line > 0 else { return nil }
        return Change(seq: line, device: id, content: .deleted, upstreamName: "")
    }

    private func change(_ device: Device, _ seq: UInt64, _ name: (Device) -> Text) -> Change {
        Change(
            seq: seq, device: device.id, content: .device(device, store.profile(id: device.profile)),
            upstreamName: name(device))
    }
}
