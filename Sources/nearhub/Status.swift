internal import ArgumentParser
internal import ControlClient
internal import JSON

/// The command `nearhub status`.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show how the running hub is doing.",
        discussion: """
            Shows where it listens, how many profiles and devices it has, and how far its journals reach the disk: \
            what has a number up to "durable" survives a power cut. Exit status 75 means that no hub answered.

              nearhub status
              nearhub status --json | jq .devices
            """)

    @OptionGroup var options: HubOptions

    func run() throws {
        let status = try options.hub().status()
        try options.json ? Output.write(.object(status)) : Output.write(Self.details(status).text)
    }

    private static func details(_ status: JSONObject) -> Details {
        var details = Details()
        details.add("version", status["version"]?.plain)
        details.add(
            "libraries",
            status["libraries"]?.object?.members.map { "\($0.name) \($0.value.plain ?? "")" }.joined(separator: ", "))
        details.add("uptime", status["uptime"]?.integer.map(span))
        details.add("pid", status["pid"]?.plain)
        details.add("state", status["state"]?.plain)
        details.add("socket", status["admin"]?["socket"]?.plain)
        details.add("hub id", status["upstream"]?["hub"]?.plain)
        details.add("profiles", status["profiles"]?.plain)
        details.add("devices", status["devices"]?.plain)
        addAddresses(of: "http", status["http"], to: &details)
        details.add("connections", status["http"]?["connections"]?.plain)
        details.add("requests", status["http"]?["requests"]?.plain)
        addAddresses(of: "coap", status["coap"], to: &details)
        details.add("coap requests", status["coap"]?["requests"]?.plain)
        if let mqtt = status["mqtt"]?.object { details.add("mqtt", Self.broker(mqtt)) }
        if let upstream = status["upstream"]?.object { Self.addUpstream(upstream, to: &details) }
        details.add("journal", status["journal"]?.object.flatMap(Self.trouble))
        for journal in status["journal"]?.object?.members ?? [] where journal.value.object != nil {
            let (last, durable) = (journal.value["seq"]?.plain ?? "?", journal.value["durable"]?.plain ?? "?")
            details.add(
                "journal \(journal.name)",
                "\(last) written, \(durable) durable, \(journal.value["bytes"]?.plain ?? "?") bytes"
                    + Self.damage(journal.value))
        }
        return details
    }

    /// How the connection to upstream is doing, and how many devices are in which state there.
    private static func addUpstream(_ upstream: JSONObject, to details: inout Details) {
        guard let url = upstream["url"]?.plain, let state = upstream["state"]?.plain else {
            return details.add("upstream", upstream["state"]?.plain)
        }
        let since = upstream["since"]?.integer.flatMap(timestamp).map { " since \($0)" } ?? ""
        let next = upstream["nextTry"]?.integer.map { $0 > 0 ? ", tries again in \($0) s" : ", tries again now" } ?? ""
        let reason = upstream["reason"]?.plain.map { ": \($0)" } ?? ""
        let advice = state == "stopped" ? "; mend it there or in [upstream], then run: nearhub upstream retry" : ""
        details.add("upstream", "\(upstream["dialect"]?.plain ?? "") \(url) \(state)\(since)\(reason)\(advice)\(next)")
        let counts = ["pending", "sent", "confirmed", "refused", "conflict"].map { name in
            "\(upstream[Text(name)]?.plain ?? "?") \(name)"
        }
        details.add("upstream devices", counts.joined(separator: ", "))
    }

    private static func damage(_ journal: JSONValue) -> String {
        guard let lines = journal["damaged"]?.integer, lines > 0 else { return "" }
        return ", \(lines) damaged lines are not served"
    }

    /// Since when the disk takes no writes: `full since 2026-03-14T09:26:53Z: write …`; nil when it does.
    private static func trouble(_ journal: JSONObject) -> String? {
        guard let state = journal["state"]?.plain, let since = journal["since"]?.integer else { return nil }
        return "\(state) since \(timestamp(since) ?? "\(since)"): \(journal["reason"]?.plain ?? "")"
    }

    /// Where a face listens, and where it does not and why.
    private static func addAddresses(of name: String, _ face: JSONValue?, to details: inout Details) {
        let listening = face?["listening"]?.array?.compactMap(\.plain) ?? []
        let failed = face?["failed"]?.array ?? []
        details.add(name, listening.isEmpty && failed.isEmpty ? "off" : listening.joined(separator: " "))
        for failure in failed {
            details.add("\(name) failed", "\(failure["address"]?.plain ?? ""): \(failure["reason"]?.plain ?? "")")
        }
    }

    /// How the connection to the broker is doing: `mqtt://127.0.0.1:1883 waiting for 5 s: Connection refused`.
    private static func broker(_ mqtt: JSONObject) -> String? {
        guard let url = mqtt["url"]?.plain, let state = mqtt["state"]?.plain else { return mqtt["state"]?.plain }
        let since = mqtt["since"]?.integer.map { " for \(span(seconds: $0))" } ?? ""
        let counts = "\(mqtt["requests"]?.plain ?? "0") requests, \(mqtt["ignored"]?.plain ?? "0") ignored"
        return "\(url) \(state)\(since), \(mqtt["reason"]?.plain ?? counts)"
    }
}

extension JSONValue {
    /// A string as it is, a number or truth value in JSON's spelling; nil for null, arrays and objects.
    var plain: String? {
        switch self {
        case .text(let text): text.description
        case .integer(let integer): "\(integer)"
        case .real(let real): "\(real)"
        case .bool(let bool): "\(bool)"
        case .null, .array, .object: nil
        }
    }
}
