internal import JSON
public import Journal
internal import Provisioning

extension Store {
    /// A log that a repair has written anew, nil when the sync of its name failed, and the lines that it left out.
    public typealias RepairedLog = (log: Log.Repaired?, setAside: [SetAside])

    /// Writes each log that is damaged anew, from what of it is whole.
    ///
    /// - Parameters:
    ///   - directory: the locked state directory.
    ///   - watch: takes how far a log has been looked at.
    ///   - progress: takes the name of a log that is written anew, and how many bytes of how many are done.
    ///   - movedUpstream: takes where upstream.jsonl is kept, if what it says is of what is lost.
    ///   - repaired: takes what was done, log by log: all that has changed, if an error comes behind it.
    /// - Throws: `.newer` and failures of the disk; `.unsettled` of a log that is written anew all the same.
    public static func repair(
        _ directory: borrowing StateDirectory, watch: ReadingWatch = { _ in },
        progress: (String, UInt64, UInt64) -> Void = { _, _, _ in }, movedUpstream: (String) -> Void = { _ in },
        repaired: (RepairedLog) -> Void
    ) throws(JournalError) {
        var reports = try verify(directory.path, watch: watch)
        if let upstream = reports.first(where: { $0.name == "upstream" }), case .failure = upstream.result {
            try repair(directory, [upstream], progress, movedUpstream, repaired)
            // What of it is whole may prove that devices.jsonl is short, which it could not before.
            reports = try verify(directory.path, watch: watch)
        }
        try repair(directory, reports, progress, movedUpstream, repaired)
    }

    private static func repair(
        _ directory: borrowing StateDirectory, _ reports: [LogReport], _ progress: (String, UInt64, UInt64) -> Void,
        _ movedUpstream: (String) -> Void, _ repaired: (RepairedLog) -> Void
    ) throws(JournalError) {
        var content = UpstreamLog.Content()
        _ = try? verifyUpstream(directory.path, &content)
        for report in reports {
            guard case .failure(let error) = report.result else { continue }
            guard case .damaged = error.kind else { throw error }
            let name = report.name
            let isDevices = name == "devices"
            let devices = try Log.Snapshot(directory: directory.path, name: "devices")
            let proven = isDevices ? try proven(devices, content, .serveRest) : 0
            var setAside: [SetAside] = []
            let log: Log.Repaired
            do {
                log = try Log.repair(
                    directory: directory.path, name: name, proven: proven, fault: { $0.fault(in: name) },
                    setAside: { setAside.append($0) }, progress: { progress(name, $0, $1) })
            } catch {
                // What was left out is told all the same: nobody can find it out again.
                if case .unsettled = error.kind { repaired((nil, setAside)) }
                throw error
            }
            repaired((log, setAside))
            // What upstream was told is more than there is now: it is told everything anew.
            let id = isDevices ? try Log.id(directory: directory.path, name: name) : nil
            let isAnother = id != nil && !content.entry.log.isEmpty && content.entry.log != id
            if log.isShort || isAnother, let kept = try Log.setAside(directory: directory.path, name: "upstream") {
                movedUpstream(kept)
            }
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
