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
    /// How long one that could not be read waits.
    static let pause = Duration.seconds(10)
    /// Of how many damaged lines somebody hears.
    private static let mostDamages = 20
    /// The most ghosts that are remembered: whatever upstream sends, there is an end to it.
    private static let mostGhosts = 50_000

    private let store: Store
    /// Whether devices that were never provisioned are passed over.
    private let isForProvisioned: Bool
    /// Up to this line nobody hears of devices that have ended: upstream never had them.
    private let unknownEnds: UInt64
    private var place: Log.Place
    private var flights: [Text: Flight] = [:]
    /// Devices whose newest state is to be told next, each with the line that holds the cursor: a newer one had been read
    /// already when they were settled, or they were not told after all.
    private var again: [Text: UInt64] = [:]
    /// Devices that are to be told again, the next one last.
    private(set) var retries: [Text] = []
    /// Devices that wait a while.
    private var waits = Waits()
    /// Devices that upstream has and the hub has not.
    private var ghosts: Set<Text> = []
    /// Whether upstream has a device of which nobody knows whether the hub has it.
    private var isInTheDark = false
    /// Devices that could not be read.
    private var unreadable: Set<Text> = []
    /// What the first of them failed with, until somebody takes it.
    private var fault: JournalError?
    /// Whether all that is on disk has been read, or waits for the disk.
    private(set) var isAtEnd = false
    /// Damaged lines that were passed over, and those of which nobody has heard yet.
    private var damages: Set<JournalError> = []
    private var newDamages: [JournalError] = []

    /// Begins behind the given line; behind none for an upstream that was told of nothing yet.
    init(_ store: Store, after seq: UInt64, isForProvisioned: Bool) {
        self.store = store
        self.isForProvisioned = isForProvisioned
        unknownEnds = isForProvisioned && seq == 0 ? store.durableDevices : 0
        place = Log.Place(after: seq)
        retries = store.syncStates.filter { $0.value.kind == .pending }
            .sorted { $0.value.seq > $1.value.seq }.map(\.key)
    }

    /// The number up to which everything is settled.
    var cursor: UInt64 {
        let open = flights.values.lazy.compactMap { $0.seq ?? $0.next } + again.values
        return open.min().map { min(place.seq, $0 - 1) } ?? place.seq
    }

    /// How many devices are in flight.
    var inFlight: Int { flights.count }

    /// Whether nothing is left to be told.
    var isEmpty: Bool { isAtEnd && flights.isEmpty && again.isEmpty && retries.isEmpty && ghosts.isEmpty }

    /// Whether devices that upstream has and the hub has not are still to be told as gone.
    var hasGhosts: Bool { !ghosts.isEmpty || isInTheDark }

    /// Whether the device is in flight.
    func isInFlight(_ device: Text) -> Bool { flights[device] != nil }

    /// The name upstream of a device in flight, as it was offered.
    func offeredName(_ device: Text) -> Text? { flights[device]?.name }

    /// Whether a device in flight was offered as one whose end the log tells.
    func isEnd(_ device: Text) -> Bool { flights[device]?.isEnd ?? false }

    /// How many devices have not been read yet.
    func pending() throws(JournalError) -> Int { try store.deviceCount(behind: place) + again.count }

    /// Whether the newest state of a device, whose line has this number, is still to be told.
    func isPending(_ device: Text, _ seq: UInt64) -> Bool { seq > place.seq || again[device] != nil }

    /// When a device that waits may be told; nil when none does.
    var deadline: Duration? { waits.first }

    /// What reading devices has failed with, once for all that fail at the same time, and once each damaged line.
    mutating func takeFault() -> JournalError? {
        defer { fault = nil }
        return fault ?? newDamages.popLast()
    }

    /// The next device, and takes it in flight; nil when there is none, or not before the deadline.
    mutating func next(until deadline: Duration, name: (Device) -> Text) throws(JournalError) -> Change? {
        isAtEnd = false
        wake(at: .monotonic)
        if let change = nextOfAgain(until: deadline, name) { return change }
        if let change = nextOfRetries(until: deadline, name) { return change }
        if let change = nextOfGhosts() { return change }
        guard .monotonic < deadline else { return nil }
        repeat {
            guard let line = try store.nextDevice(after: &place) else {
                isAtEnd = true
                return nil
            }
            if let change = fresh(line, name) { return takeOff(change, holding: change.seq) }
        } while .monotonic < deadline
        return nil
    }

    /// Takes note that a device is not in flight any more.
    ///
    /// - Returns: the line that was offered; nil when it was not in flight.
    mutating func settle(_ device: Text) -> UInt64? {
        guard let flight = flights.removeValue(forKey: device) else { return nil }
        ghosts.remove(device)
        if let next = flight.next { again[device] = next }
        return flight.line
    }

    /// Voids all that is in flight, and goes back to a line.
    mutating func rewind(to seq: UInt64) {
        place = Log.Place(after: min(seq, cursor))
        // All others come by their lines; and there may be too many that wait for their turn to look for them anew.
        retries += flights.filter { $0.value.seq == nil && !ghosts.contains($0.key) }
            .sorted { $0.value.line > $1.value.line }.map(\.key)
        flights = [:]
        again = [:]
        isAtEnd = false
    }

    /// Takes back a device that was not told after all.
    mutating func release(_ device: Text) {
        guard let flight = flights.removeValue(forKey: device) else { return }
        if let line = flight.seq ?? flight.next { again[device] = line } else { retries.append(device) }
    }

    /// Takes a device that is to be told again, and whose state says so.
    mutating func retry(_ device: Text) {
        waits.end(device)
        retries.append(device)
    }

    /// Takes a device that is to be told again, and whose state says so, after a while.
    mutating func retry(_ device: Text, after pause: Duration) {
        again[device] = nil
        waits.add(device, until: .monotonic + pause)
    }

    /// Takes note of a device that upstream has; one that the hub has not is told as gone.
    ///
    /// Nobody can tell while lines are damaged: it may be on one of them.
    mutating func examine(_ device: Text) {
        guard ghosts.count < Self.mostGhosts, !store.mayHave(device), !isStaged(device) else { return }
        guard damages.isEmpty, store.damagedLines.isEmpty else {
            isInTheDark = true
            return
        }
        ghosts.insert(device)
        isAtEnd = false
    }

    /// Ends all waits.
    mutating func hurry() { waits.endAll() }

    // MARK: - What comes next

    private mutating func nextOfAgain(until deadline: Duration, _ name: (Device) -> Text) -> Change? {
        guard !again.isEmpty else { return nil }
        for (device, line) in again.sorted(by: { $0.value < $1.value }) {
            // One whose newest line is not on disk yet waits: it may be taken back, and the one before is news again.
            guard !waits.contains(device), !isStaged(device) else { continue }
            let found = Result { () throws(JournalError) in try newest(device, line, name) }
            guard let change = readable(found, of: device) else { continue }
            again[device] = nil
            if let change { return takeOff(change, holding: change.seq) }
            guard .monotonic < deadline else { return nil }
        }
        return nil
    }

    private mutating func nextOfRetries(until deadline: Duration, _ name: (Device) -> Text) -> Change? {
        while .monotonic < deadline, let device = retries.last, !isStaged(device) {
            retries.removeLast()
            guard flights[device] == nil, let state = store.syncStates[device], state.kind == .pending else { continue }
            let found = Result { () throws(JournalError) in try newest(device, state.seq, name) }
            if let change = readable(found, of: device), let change { return takeOff(change, holding: nil) }
        }
        return nil
    }

    /// No line speaks of a ghost any more: it has the number of the last one that was read.
    private mutating func nextOfGhosts() -> Change? {
        guard let device = ghosts.first(where: { flights[$0] == nil }) else { return nil }
        let change = Change(seq: place.seq, device: device, content: .deleted, upstreamName: "")
        return takeOff(change, holding: nil)
    }

    /// What reading a device comes to; nil when it cannot be read, and waits until that is tried again.
    private mutating func readable(_ found: Result<Change?, JournalError>, of device: Text) -> Change?? {
        switch found {
        case .success(let change):
            unreadable.remove(device)
            return .some(change)
        case .failure(let error):
            if unreadable.isEmpty { fault = error }
            unreadable.insert(device)
            waits.add(device, until: .monotonic + Self.pause)
            return nil
        }
    }

    /// Has those come again that have waited long enough.
    private mutating func wake(at now: Duration) {
        while let device = waits.next(at: now) {
            if again[device] == nil { retries.append(device) }
        }
    }

    private mutating func takeOff(_ change: Change, holding seq: UInt64?) -> Change {
        let isEnd = if case .deleted = change.content { !ghosts.contains(change.device) } else { false }
        flights[change.device] = Flight(line: change.seq, seq: seq, name: change.upstreamName, isEnd: isEnd)
        return change
    }

    /// What a line says, if it is news and its device is not in flight.
    private mutating func fresh(_ line: Store.DeviceLine, _ name: (Device) -> Text) -> Change? {
        let change: Change
        switch line {
        case .replaced: return nil
        case .damaged(let error):
            if damages.count < Self.mostDamages, damages.insert(error).inserted { newDamages.append(error) }
            return nil
        case .deleted(let id, let seq):
            if seq <= unknownEnds, store.syncStates[id] == nil { return nil }
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
        guard try store.device(id: id) == nil else { return nil }
        return Change(seq: line, device: id, content: .deleted, upstreamName: "")
    }

    private func change(_ device: Device, _ seq: UInt64, _ name: (Device) -> Text) -> Change {
        Change(
            seq: seq, device: device.id, content: .device(device, store.profile(id: device.profile)),
            upstreamName: name(device))
    }
}
