internal import Journal

extension Store {
    /// A log, by what it is about.
    public enum LogName: Sendable {
        case profiles, devices
    }

    /// The number of a log's last record, on disk or on its way there.
    public func lastSeq(_ name: LogName) -> UInt64 {
        switch name {
        case .profiles: profilesLog.seq
        case .devices: devicesLog.seq
        }
    }
}
