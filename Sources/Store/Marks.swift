/// Decides when the logs get a `sync` mark: 2 s after the last change, and when windows have run out.
///
/// Such a mark proves after a power cut that the batch before it was on disk, and keeps old windows from opening again.
struct Marks {
    /// The sequence numbers and settled windows that marks speak of already.
    var profiles: UInt64
    private(set) var devices: UInt64
    private(set) var settled: UInt64
    private var lastChange: UInt64 = 0
    private var lastMark: UInt64 = 0

    init(profiles: UInt64, devices: UInt64, settled: UInt64) {
        self.profiles = profiles
        self.devices = devices
        self.settled = settled
    }

    mutating func touched(at now: UInt64) { lastChange = now }

    func wantsProfiles(durable: UInt64, now: UInt64) -> Bool { durable > profiles && now >= lastChange + 2 }

    /// Windows that run out one by one share a mark a minute.
    func wantsDevices(durable: UInt64, settled: UInt64, windowsOpen: Bool, now: UInt64) -> Bool {
        if durable > devices && now >= lastChange + 2 { return true }
        return settled > self.settled && (!windowsOpen || now >= lastMark + 60)
    }

    mutating func noted(devices: UInt64, settled: UInt64, now: UInt64) {
        self.devices = devices
        self.settled = settled
        lastMark = now
    }
}
