internal import EventLoop
internal import Glibc

extension Log {
    /// Opens or makes `DIRECTORY/NAME.jsonl` and recovers it.
    ///
    /// The caller holds the directory's lock. When this returns, all that it replayed is on disk: what an unfinished
    /// batch left behind the last good line is kept aside in `NAME.jsonl.torn-N` and cut off, and good lines that no
    /// other line proves to be on disk are written again and synced, since after a failed sync the kernel's memory
    /// may hold what the disk does not. After a clean stop nothing is written.
    ///
    /// - Parameters:
    ///   - directory: the state directory.
    ///   - name: the log's name, such as `devices`.
    ///   - proven: the number up to which another log proves that records were on disk.
    ///   - watch: takes how far it is, and may end it; then what is stored has not changed.
    ///   - skip: takes each damaged line of a log that is to be used all the same; nil to refuse such a log.
    ///   - replay: takes each record in order, and a way to read those before it; when `open` throws, what it took is void.
    /// - Throws: `.damaged`, `.newer`, `.io`, and what `watch` and `replay` throw.
    public static func open(
        directory: String, name: String, proven: UInt64 = 0, watch: ReadingWatch = { _ in },
        skippingDamage skip: ((SetAside) -> Void)? = nil,
        replay: (Record, EarlierRecords) throws(JournalError) -> Void
    ) throws(JournalError) -> (log: Log, recovery: Recovery) {
        let path = "\(directory)/\(name).jsonl"
        // The dot lets the directory itself be a symbolic link, as systemd's StateDirectory= may make it.
        let folder = try onLog(path) { () throws(SystemError) in try LogFile("\(directory)/.", O_RDONLY | O_DIRECTORY) }
        let hadCompaction = try onLog(path) { () throws(SystemError) in
            try removeUnfinishedCompaction(path + ".new", folder)
        }
        guard let file = try existing(path, O_RDWR) else {
            try refuseMissing(path, proven)
            return try make(path, name: name, folder)
        }
        let size = try onLog(path) { () throws(SystemError) in
            try file.sync()
            file.dropCache()
            return try file.size()
        }
        let earlier = EarlierRecords(file, size: size)
        let end: Walk.End
        var damaged = 0
        if let skip {
            let found = try Salvage.through(file, size: size, name: name, proven: proven, watch: watch) {
                (record) throws(JournalError) in
                try replay(record, earlier)
            } skip: { line in
                damaged += 1
                skip(line)
            }
            guard let found else { throw JournalError(.damaged(offset: 0, line: 1, why: "no whole line"), file: path) }
            end = found
        } else {
            end = try Walk.through(file, size: size, name: name, proven: proven, watch: watch) {
                (record) throws(JournalError) in
                try replay(record, earlier)
            }
        }
        var (log, recovery) = try settle(file, end, size: size, name: name, folder)
        log.skipsDamage = skip != nil
        recovery.damaged = damaged
        recovery.hadCompaction = hadCompaction
        return (log, recovery)
    }

    /// Makes a log that is not there.
    private static func make(
        _ path: String, name: String, _ folder: LogFile
    ) throws(JournalError) -> (log: Log, recovery: Recovery) {
        let file = try onLog(path) { () throws(SystemError) in try LogFile(path, O_RDWR | O_CREAT | O_EXCL) }
        let size = try begin(file, name: name, folder)
        let recovery = Recovery(
            file: path, records: 0, seq: 0, bytes: size, isNew: true, torn: nil, rewrittenFrom: nil)
        return (Log(name: name, file: file, seq: 0, size: size, settled: 0), recovery)
    }

    /// Brings a log into the state in which it may be used, on disk: without what lies behind its end.
    private static func settle(
        _ file: LogFile, _ end: Walk.End, size: UInt64, name: String, _ folder: LogFile
    ) throws(JournalError) -> (log: Log, recovery: Recovery) {
        let torn = try Tail.cut(file, end, size: size, folder)
        let rewrittenFrom = end.unproven < end.bytes ? end.unproven : nil
        var bytes = end.bytes
        if bytes == 0 {
            bytes = try begin(file, name: name, folder)
        } else if torn != nil || rewrittenFrom != nil {
            bytes = try onLog(file.path) { () throws(SystemError) in try Tail.rewrite(file, end) }
        }
        try onLog(file.path) { () throws(SystemError) in try folder.syncAll() }
        let recovery = Recovery(
            file: file.path, records: end.records, seq: end.seq, bytes: bytes, isNew: size == 0, torn: torn,
            rewrittenFrom: rewrittenFrom)
        return (Log(name: name, file: file, seq: end.seq, size: bytes, settled: end.settled), recovery)
    }

    static func refuseMissing(_ path: String, _ proven: UInt64) throws(JournalError) {
        guard proven > 0 else { return }
        let why = "it is missing, though records up to seq \(proven) were on disk"
        throw JournalError(.damaged(offset: 0, line: nil, why: why), file: path)
    }

    static func existing(_ path: String, _ flags: CInt) throws(JournalError) -> LogFile? {
        do { return try LogFile(path, flags) } catch {
            if error.code == ENOENT { return nil }
            throw JournalError(.io(error), file: path)
        }
    }

    /// Until it was renamed, nothing rested on it.
    private static func removeUnfinishedCompaction(_ path: String, _ folder: LogFile) throws(SystemError) -> Bool {
        do { try system("unlink", path) { unsafe unlink(path) } } catch {
            if error.code == ENOENT { return false }
            throw error
        }
        try folder.syncAll()
        return true
    }

    /// Writes the head of an empty log, durably with its name; returns the length.
    private static func begin(_ file: LogFile, name: String, _ folder: LogFile) throws(JournalError) -> UInt64 {
        let line = try onLog(file.path) { () throws(SystemError) in
            let line = try Line.newHead(log: name)
            try file.write(line, at: 0)
            try file.sync()
            try folder.syncAll()
            return line
        }
        return UInt64(line.count)
    }
}

extension Line {
    /// The first line of a new log, with an id of its own.
    static func newHead(log: String) throws(SystemError) -> [UInt8] {
        var line: [UInt8] = []
        line.appendHead(log: log, id: try LogHead.newID(), generation: 1)
        return line
    }

    /// The length of `newHead`.
    static func newHeadLength(log: String) -> UInt64 {
        UInt64(#"{"mark":"head","format":1,"log":"","id":"","gen":1"#.utf8.count + log.utf8.count + 32 + tail + 1)
    }
}
