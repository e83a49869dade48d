internal import EventLoop
internal import JSON
internal import Journal
internal import Provisioning

/// upstream.jsonl: how far upstream was told of the device log, and what is to be remembered of single devices.
///
/// Losing its last lines loses nothing: upstream is told again. So it is synced lazily. Each line with the cursor is also
/// a witness: it says which log it is about, and how far that one was on disk. A device log that is older than that was
/// copied back, or cut off, and is found out at the start.
struct UpstreamLog {
    /// How long lines wait for a sync, and a changed device log for its witness.
    static let interval = Duration.seconds(5)

    /// What the last line with the cursor says.
    struct Entry: Equatable {
        var cursor = UpstreamCursor(target: "", seq: 0)
        /// The id of the device log.
        var log: Text = ""
        /// The number up to which the device log was on disk.
        var devices: UInt64 = 0
    }

    let log: Log
    private(set) var content: Content
    /// When it wants `keep`; nil when there is nothing to do.
    private(set) var due: Duration?

    /// What its lines say, taken together.
    struct Content {
        fileprivate(set) var entry = Entry()
        fileprivate(set) var states: [Text: SyncState] = [:]

        /// Takes in a line.
        mutating func replay(_ record: Record) throws(InvalidRecord) {
            if let cursor = record.json["cursor"] {
                guard let target = cursor["to"]?.text, let seq = cursor["of"]?.unsigned,
                    let log = cursor["log"]?.text, let devices = cursor["devices"]?.unsigned
                else { throw InvalidRecord("an unreadable cursor") }
                entry = Entry(
                    cursor: UpstreamCursor(
                        target: target, settings: cursor["settings"]?.text ?? "", seq: seq,
                        ended: cursor["ended"]?.unsigned ?? 0),
                    log: log, devices: devices)
            } else if let sync = record.json["sync"] {
                guard let device = sync["device"]?.text else { throw InvalidRecord("a sync state of no device") }
                states[device] = record.operation == .put ? try SyncState(sync) : nil
            }
        }
    }

    init(_ log: Log, _ content: Content) {
        self.log = log
        self.content = content
        log.isLazy = true
    }

    /// Notes how far upstream was told.
    mutating func note(_ cursor: UpstreamCursor, of devices: Log, _ id: Text, at now: Int64) throws(JournalError) {
        let entry = Entry(cursor: cursor, log: id, devices: devices.durableSeq)
        _ = try log.append(.put, at: now) { json in
            json.name("cursor")
            json.beginObject()
            json.member("to", entry.cursor.target)
            if !entry.cursor.settings.isEmpty { json.member("settings", entry.cursor.settings) }
            json.member("of", entry.cursor.seq)
            if entry.cursor.ended > 0 { json.member("ended", entry.cursor.ended) }
            json.member("log", entry.log)
            json.member("devices", entry.devices)
            json.endObject()
        }
        content.entry = entry
        touched()
    }

    /// Notes the state of a device; nil when there is nothing to remember any more.
    mutating func note(_ state: SyncState?, of device: Text, at now: Int64) throws(JournalError) {
        if state == nil, content.states[device] == nil { return }
        _ = try log.append(state == nil ? .delete : .put, at: now) { json in
            json.name("sync")
            if let state { return state.write(of: device, to: &json) }
            json.beginObject()
            json.member("device", device)
            json.endObject()
        }
        content.states[device] = state
        touched()
    }

    /// Forgets all: it is about another device log.
    mutating func forget() { content = Content() }

    /// Notes that there is something to write or to sync.
    mutating func touched() { due = due ?? .monotonic + Self.interval }

    /// Wants nothing while the disk takes no writes.
    mutating func pause() { due = nil }

    /// Bears witness of the device log if it has grown, and has all lines synced.
    mutating func keep(_ devices: Log, _ id: Text, at now: Int64) throws(JournalError) {
        due = nil
        if content.entry.devices != devices.durableSeq || content.entry.log != id {
            try note(content.entry.cursor, of: devices, id, at: now)
        }
        due = nil
        log.wantsSync = true
    }

    /// Writes all again: what was not on disk has been taken back.
    mutating func rewrite(_ devices: Log, _ id: Text, at now: Int64) throws(JournalError) {
        for (device, state) in content.states { try note(state, of: device, at: now) }
        try note(content.entry.cursor, of: devices, id, at: now)
    }
}
