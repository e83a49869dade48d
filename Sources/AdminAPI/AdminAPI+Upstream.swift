internal import HTTPMessage
internal import JSON
internal import Journal
internal import Provisioning
internal import Store
internal import Upstream

extension AdminAPI {
    /// `GET /api/nearhub/upstream?[state=]&after=&limit=`: how devices and upstream stand, in the order of their numbers.
    func listUpstream(_ call: Call) throws(AdminError) -> HTTPResponse {
        let after = UInt64(try call.number("after", in: 0...Int.max))
        let limit = try call.number("limit", in: 1...500)
        var state: Upstream.DeviceState?
        if let name = call.request.parameter("state") {
            guard let known = Upstream.DeviceState(rawValue: name) else {
                let names = Upstream.DeviceState.allCases.map(\.rawValue).joined(separator: ", ")
                throw .badRequest("state must be one of \(names)")
            }
            state = known
        }
        let wanted = state
        let found = try onStore { () throws(JournalError) in
            try upstream?.rows(wanted, after: after, limit: limit) ?? (rows: [], next: nil)
        }
        return .json { json in
            json.name("devices")
            json.beginArray()
            for row in found.rows { row.write(to: &json) }
            json.endArray()
            json.name("next")
            if let next = found.next { json.integer(next) } else { json.null() }
        }
    }

    /// `POST /api/nearhub/upstream/retry`: tells upstream again of a device, or of all that it refused.
    func retryUpstream(_ call: Call) throws(AdminError) -> HTTPResponse {
        let upstream = try upstreamThatIsOn()
        let json = try call.object()
        var count: Int
        if let gone = gone(json, upstream) {
            count = try onStore { () throws(JournalError) in try upstream.retry(gone) } ? 1 : 0
        } else if json["device"] != nil {
            let device = try device(named: json)
            count = try onStore { () throws(JournalError) in try upstream.retry(device) } ? 1 : 0
            if count > 0 { note(.changed, device, call) }
        } else {
            count = upstream.retryAll()
        }
        return .json { $0.member("retried", count) }
    }

    /// `POST /api/nearhub/upstream/resolve`: decides about a device that upstream refuses or has otherwise.
    func resolveUpstream(_ call: Call) throws(AdminError) -> HTTPResponse {
        let upstream = try upstreamThatIsOn()
        let json = try call.object()
        if let gone = gone(json, upstream) { return try keep(gone, json, upstream) }
        let device = try device(named: json)
        let decision: Upstream.Decision
        switch (json["rename"]?.text, json["keepLocal"]?.bool, json["adopt"]?.bool) {
        case (let name?, nil, nil): decision = .rename(name)
        case (nil, true, nil): decision = .keepLocal
        case (nil, nil, true): decision = .adopt
        default: throw .badRequest("one of rename, keepLocal and adopt should be specified!")
        }
        let objection = try onStore { () throws(JournalError) in try upstream.resolve(device, decision) }
        if let objection { throw .badRequest(objection.description) }
        note(.changed, device, call)
        let row = try onStore { () throws(JournalError) in
            upstream.row(of: device, try store.seq(of: device))
        }
        var body = JSONWriter()
        row.write(to: &body)
        return HTTPResponse(body: body.bytes)
    }

    /// The id of a device that has ended, which is what is left to call it by, if upstream refuses that it has.
    private func gone(_ json: JSONValue, _ upstream: Upstream) -> Text? {
        json["device"]?.text.flatMap { upstream.refusesEnd(of: $0) ? $0 : nil }
    }

    private func keep(_ gone: Text, _ json: JSONValue, _ upstream: Upstream) throws(AdminError) -> HTTPResponse {
        guard json["keepLocal"]?.bool == true else {
            throw .badRequest("the device has ended: nothing but keepLocal can be decided")
        }
        if let objection = try onStore({ () throws(JournalError) in try upstream.keep(gone) }) {
            throw .badRequest(objection.description)
        }
        return .json { json in
            json.member("id", gone)
            json.member("name", nil)
            json.member("state", nil)
        }
    }

    private func upstreamThatIsOn() throws(AdminError) -> Upstream {
        guard let upstream else { throw .badRequest("upstream is off: see [upstream] dialect in the configuration") }
        return upstream
    }

    private func device(named json: JSONValue) throws(AdminError) -> Device {
        guard let name = json["device"]?.text else { throw .badRequest("device should be specified!") }
        guard let device = try onStore({ () throws(JournalError) in try store.device(named: name) }) else {
            throw .notFound("Device with name [\(name)] is not found")
        }
        return device
    }
}

extension Upstream.Row {
    fileprivate func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("id", id)
        json.member("name", name)
        json.member("upstreamName", upstreamName)
        json.member("seq", seq)
        json.member("state", word: state)
        json.member("reason", reason)
        json.name("differs")
        json.beginArray()
        for member in differs { json.text(member) }
        json.endArray()
        json.name("since")
        if let since { json.integer(since) } else { json.null() }
        json.endObject()
    }
}
