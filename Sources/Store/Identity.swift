internal import JSON
internal import Journal
internal import Provisioning

/// admin.jsonl: who the hub is.
struct Identity {
    let log: Log
    /// The hub's own id: 32 hexadecimal digits, random.
    let hub: Text
    private let logId: Text

    /// What its lines say, taken together.
    struct Content {
        private var hub: Text?
        private var log: Text?

        /// Takes in a line.
        mutating func replay(_ record: Record) throws(InvalidRecord) {
            guard let hub = record.json["hub"] else { return }
            guard let id = hub["id"]?.text, let log = hub["log"]?.text else { throw InvalidRecord("an unreadable hub") }
            (self.hub, self.log) = (id, log)
        }

        /// The hub's id, if it was made for this log: a state that another hub takes over gets a log with a new id.
        func hub(of log: Text) -> Text? { self.log == log ? hub : nil }
    }

    /// Makes the id if there is none yet.
    init(_ log: Log, _ content: Content, at now: Int64) throws(JournalError) {
        self.log = log
        logId = try log.id()
        if let known = content.hub(of: logId) {
            hub = known
            return
        }
        do { hub = Text(utf8: try LogHead.newID()) } catch { throw JournalError(.io(error), file: "admin.jsonl") }
        try write(at: now)
    }

    private func write(at now: Int64) throws(JournalError) {
        _ = try log.append(.put, at: now) { json in
            json.name("hub")
            json.beginObject()
            json.member("id", hub)
            json.member("log", logId)
            json.endObject()
        }
    }
}
