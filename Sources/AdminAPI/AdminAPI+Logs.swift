internal import HTTPMessage
internal import JSON
internal import Journal
internal import Store

extension AdminAPI {
    /// `POST /api/nearhub/log/compact`: begins to write the logs anew without what later lines have replaced.
    ///
    /// Answers at once; the status says how far it is, and what came of it. Without effect while one goes on.
    func compactLogs(_ call: Call) throws(AdminError) -> HTTPResponse {
        if let suspension = store.suspension { throw AdminError(response: .notStored(suspension.error)) }
        store.compact()
        return .json { json in
            json.member("runs", store.compactionStatus.runs)
        }
    }

    /// The object `compaction` of the status.
    func write(_ status: Store.CompactionStatus, to json: inout JSONWriter) {
        json.beginObject()
        json.member("runs", status.runs)
        json.member("running", status.isRunning)
        if let current = status.current {
            json.member("log", Text(current.log))
            json.member("done", current.done)
            json.member("total", current.total)
        }
        json.name("outcomes")
        json.beginArray()
        for (log, outcome) in status.outcomes {
            json.beginObject()
            json.member("log", Text(log))
            switch outcome {
            case .shorter(let before, let bytes):
                json.member("before", before)
                json.member("bytes", bytes)
            case .notWorthwhile: break
            case .failed(let error):
                json.member("failed", Text(error.description))
                if case .damaged = error.kind { json.member("damaged", true) }
            }
            json.endObject()
        }
        json.endArray()
        json.endObject()
    }
}
