public import Journal
internal import Provisioning

extension Store {
    /// What a look at one log finds.
    public struct LogReport: Sendable {
        /// The log's name, such as `devices`.
        public let name: String
        /// What the next start would find; or what is wrong, with file, offset and line.
        public let result: Result<Recovery, JournalError>
    }

    /// Reads each log from beginning to end and changes nothing; a hub may be using them meanwhile.
    ///
    /// - Parameter directory: the state directory, whose permissions the caller has checked.
    public static func verify(_ directory: String) -> [LogReport] {
        var registry = Registry(seed: 0)
        let profiles = Result { () throws(JournalError) in
            try Log.verify(directory: directory, name: "profiles") { (record, earlier) throws(JournalError) in
                try registry.replay(profile: record, earlier)
            }
        }
        let devices = Result { () throws(JournalError) in
            try Log.verify(directory: directory, name: "devices") { (record, earlier) throws(JournalError) in
                try registry.replay(device: record, earlier)
            }
        }
        return [LogReport(name: "profiles", result: profiles), LogReport(name: "devices", result: devices)]
    }

    /// Writes each log that is damaged anew, from what of it is whole.
    ///
    /// - Parameters:
    ///   - directory: the locked state directory.
    ///   - setAside: takes each line that is left out.
    ///   - progress: takes the name of a log, and how many bytes of how many are done.
    /// - Returns: what was done; empty when nothing is damaged.
    /// - Throws: `.newer` and failures of the disk.
    public static func repair(
        _ directory: borrowing StateDirectory, setAside: (SetAside) -> Void,
        progress: (String, UInt64, UInt64) -> Void
    ) throws(JournalError) -> [Log.Repaired] {
        var repaired: [Log.Repaired] = []
        for report in verify(directory.path) {
            guard case .failure(let error) = report.result else { continue }
            guard case .damaged = error.kind else { throw error }
            let name = report.name
            let isProfiles = name == "profiles"
            repaired.append(
                try Log.repair(
                    directory: directory.path, name: name,
                    fault: { isProfiles ? $0.fault(Event.init(profileRecord:)) : $0.fault(Event.init(deviceRecord:)) },
                    setAside: setAside, progress: { progress(name, $0, $1) }))
        }
        return repaired
    }
}

extension Record {
    /// Why it says nothing that can be read; nil when it does.
    fileprivate func fault(_ read: (Record) throws(InvalidRecord) -> Event) -> String? {
        do { _ = try read(self) } catch { return error.description }
        return nil
    }
}
