internal import EventLoop
internal import Glibc
internal import JSON
internal import Journal
internal import Store

/// Makes a state directory of an archive: all of it, or nothing.
///
/// It is made beside its place, checked as a start would check it, brought to disk, and then takes its place by one
/// rename(2), which the system refuses if anything is there, such as the lock of a hub.
public enum Restore {
    /// Restores a state.
    ///
    /// - Parameters:
    ///   - file: the archive, of `Backup` or of any tar with the files of a state directory; `-` for standard input.
    ///   - directory: the state directory; empty, or not there.
    ///   - replacing: whether this gateway takes the place of the archive's, which will not come back; otherwise the
    ///     logs get ids of their own, and upstream is told everything anew.
    ///   - progress: is told how many bytes of how many are restored; 0 when that is unknown.
    /// - Returns: what is in the state.
    public static func read(
        _ file: String, into directory: String, replacing: Bool, progress: ProgressWatch
    ) throws(BackupError) -> BackupContents {
        let place = Place(directory)
        let owner = try place.owner()
        try orFail { () throws(SystemError) in try place.begin(owner) }
        do throws(BackupError) {
            let input = try open(file)
            try extract(input, file, to: place.draft, owner, replacing, progress)
            let contents: BackupContents
            do { contents = try check(place, progress) } catch {
                throw BackupError(error, "nothing was restored; take another backup")
            }
            try place.finish()
            return contents
        } catch {
            place.discard()
            throw error
        }
    }

    /// Checks the draft as a start would; an upstream.jsonl that only is younger than devices.jsonl is set aside.
    private static func check(_ place: Place, _ progress: ProgressWatch) throws(JournalError) -> BackupContents {
        func inspect() throws(JournalError) -> Store.Inspection {
            let found = try Store.inspect(
                place.draft, watch: { progress("checking \($0.name)", $0.bytes, $0.size) })
            for log in found.logs { try checkEnd(of: log) }
            return found
        }
        do { return BackupContents(try inspect()) } catch {
            // At byte 0 it would be the log of another hub.
            guard case .damaged(let offset, _, _) = error.kind, offset > 0, error.file.hasSuffix("/devices.jsonl"),
                try Log.setAside(directory: place.draft, name: "upstream") != nil
            else { throw error }
            do { return BackupContents(try inspect(), isWithoutUpstream: true) } catch _ { throw error }
        }
    }

    /// Refuses whole lines that are none, behind the last good one.
    ///
    /// A copy of a running hub's log may end in the middle of a line. Lines that end and are damaged come from a power cut,
    /// or, in an archive, which has none of them, from damage of the archive.
    private static func checkEnd(of inspected: Store.InspectedLog) throws(JournalError) {
        guard let torn = inspected.recovery.torn,
            try inspected.log.wholeLines(in: inspected.log.size) > torn.offset
        else { return }
        throw JournalError(
            .damaged(offset: torn.offset, line: nil, why: "no whole line"), file: inspected.log.path)
    }

    private static func open(_ file: String) throws(BackupError) -> ByteFile {
        if file == "-" { return ByteFile(path: "stdin", owning: dup(STDIN_FILENO)) }
        return try orFail { () throws(SystemError) in try ByteFile(file, O_RDONLY) }
    }

    private static func extract(
        _ input: borrowing ByteFile, _ file: String, to draft: String, _ owner: (user: uid_t, group: gid_t)?,
        _ replacing: Bool, _ progress: ProgressWatch
    ) throws(BackupError) {
        var archive = TarReader(try orFail { () throws(SystemError) in try input.information().st_size })
        var seen: Set<StateFile> = []
        while let header = try archive.next(input, file) {
            guard let name = try stateFile(header, file), replacing || !name.isOfOneGateway else {
                try archive.skip(header, input, file)
                continue
            }
            guard seen.insert(name).inserted else {
                throw BackupError(.damaged, "\(file): \(name.rawValue) is in it twice; nothing was restored")
            }
            let output = try orFail { () throws(SystemError) in
                let output = try ByteFile("\(draft)/\(name.rawValue)", O_WRONLY | O_CREAT | O_EXCL)
                try output.permit(0o600)
                try output.give(to: owner)
                return output
            }
            let total = archive.total
            var isFirst = true
            try archive.content(header, input, file) { (bytes, done) throws(BackupError) in
                let isHead = isFirst && !replacing
                isFirst = false
                try orFail { () throws(SystemError) in try output.write(isHead ? try withNewId(bytes) : bytes) }
                progress("reading", done, total)
            }
            try orFail { () throws(SystemError) in try output.sync() }
        }
        for name in StateFile.allCases where name.isNeeded && !seen.contains(name) {
            throw BackupError(.damaged, "\(file): there is no \(name.rawValue) in it; nothing was restored")
        }
    }

    /// The file of the state that a member is; nil for what is left out.
    private static func stateFile(_ header: TarHeader, _ file: String) throws(BackupError) -> StateFile? {
        let name = header.name.hasPrefix("./") ? String(header.name.dropFirst(2)) : header.name
        switch header.type {
        case UInt8(ascii: "0"):
            if let known = StateFile(rawValue: name) { return known }
            if !name.contains("/"), StateFile.isIgnored(name) { return nil }
        case UInt8(ascii: "5") where name.isEmpty: return nil
        case UInt8(ascii: "x"), UInt8(ascii: "g"): return nil
        default: break
        }
        throw BackupError(
            .damaged,
            "\(file): \"\(printable(header.name, limit: 100))\" is no file of a state directory; nothing was restored")
    }

    /// The beginning of a log whose head, if it is one, has a new id.
    private static func withNewId(_ bytes: [UInt8]) throws(SystemError) -> [UInt8] {
        guard let newline = bytes.firstIndex(of: UInt8(ascii: "\n")),
            let head = try LogHead.renewed(Array(bytes[..<newline]))
        else { return bytes }
        return head + bytes[newline...]
    }
}
