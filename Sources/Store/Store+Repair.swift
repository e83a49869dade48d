internal import JSON
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
        var content = UpstreamLog.Content()
        let upstream = Result { () throws(JournalError) in try verifyUpstream(directory, &content) }
        let admin = Result { () throws(JournalError) in try verifyAdmin(directory) }
        let devices = Result { () throws(JournalError) in
            let proven = try proven(directory, content, .refuse)
            return try Log.verify(directory: directory, name: "devices", proven: proven) {
                (record, earlier) throws(JournalError) in
                try registry.replay(device: record, earlier)
            }
        }
        return [("profiles", profiles), ("devices", devices), ("upstream", upstream), ("admin", admin)].map {
            LogReport(name: $0.0, result: $0.1)
        }
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
        var content = UpstreamLog.Content()
        _ = try? verifyUpstream(directory.path, &content)
        for report in verify(directory.path) {
            guard case .failure(let error) = report.result else { continue }
            guard case .damaged = error.kind else { throw error }
            let name = report.name
            let isDevices = name == "devices"
            let proven = isDevices ? try proven(directory.path, content, .serveRest) : 0
            let log = try Log.repair(
                directory: directory.path, name: name, proven: proven, fault: { $0.fault(in: name) },
                setAside: setAside, progress: { progress(name, $0, $1) })
            repaired.append(log)
            // What upstream was told is more than there is now: it is told everything anew.
            let id = isDevices ? try Log.id(directory: directory.path, name: name) : nil
            let isAnother = id != nil && !content.entry.log.isEmpty && content.entry.log != id
            if log.isShort || isAnother { try Log.setAside(directory: directory.path, name: "upstream") }
        }
        return repaired
    }
}

extension Store {
    static func verifyUpstream(
        _ directory: String, _ content: inout UpstreamLog.Content
    ) throws(JournalError) -> Recovery {
        var found = UpstreamLog.Content()
        let recovery = try Log.verify(directory: directory, name: "upstream") { (record, _) throws(JournalError) in
            try record.orDamaged("\(directory)/upstream.jsonl") { () throws(InvalidRecord) in try found.replay(record) }
        }
        content = found
        return recovery
    }

    static func verifyAdmin(_ directory: String) throws(JournalError) -> Recovery {
        var found = Identity.Content()
        return try Log.verify(directory: directory, name: "admin") { (record, _) throws(JournalError) in
            try record.orDamaged("\(directory)/admin.jsonl") { () throws(InvalidRecord) in try found.replay(record) }
        }
    }
}

extension Record {
    /// Why it says nothing that can be read; nil when it does.
    fileprivate func fault(in log: String) -> String? {
        do throws(InvalidRecord) {
            switch log {
            case "profiles": _ = try Event(profileRecord: self)
            case "devices": _ = try Event(deviceRecord: self)
            case "upstream":
                var content = UpstreamLog.Content()
                try content.replay(self)
            default:
                var content = Identity.Content()
                try content.replay(self)
            }
        } catch { return error.description }
        return nil
    }

    /// Runs a body that reads the record; what it cannot read is damage.
    func orDamaged(_ file: String, _ body: () throws(InvalidRecord) -> Void) throws(JournalError) {
        do throws(InvalidRecord) { try body() } catch {
            throw JournalError(.damaged(offset: offset, line: nil, why: error.description), file: file)
        }
    }
}
