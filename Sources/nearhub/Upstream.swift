internal import ArgumentParser
internal import ControlClient
internal import JSON

/// The command `nearhub upstream …`.
struct Upstream: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what upstream was told, and decide what it refused.",
        discussion: """
            Upstream is told of every device by itself, in order, however often the connection breaks; "nearhub status" \
            shows how that is doing. What it refuses is shown here, blocks nobody and goes on working at the site. \
            Nothing is tried again or renamed unless somebody says so.

              nearhub upstream list --state refused
              nearhub upstream retry
              nearhub upstream resolve pump-1 --rename north-pump-1
            """,
        subcommands: [UpstreamList.self, UpstreamRetry.self, UpstreamResolve.self])
}

/// The command `nearhub upstream list`.
struct UpstreamList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List devices with their states upstream, in the order of their last change.",
        discussion: """
            States: pending (to be told), sent (on its way), confirmed, refused (with the reason), conflict (upstream has \
            other credentials), unprovisioned (waits for its first request here). With --json: {"devices":[...]}, each \
            with id, name, upstreamName, seq, state, reason, differs and since (milliseconds since 1970).

              nearhub upstream list
              nearhub upstream list --state conflict --json | jq -r '.devices[].name'
            """)

    @Option(help: ArgumentHelp("Only devices in this state.", valueName: "state")) var state: DeviceState?
    @OptionGroup var options: HubOptions

    func run() throws {
        let hub = try options.hub()
        try options.json ? Output.write(json(hub)) : Output.write(table(hub).text)
    }

    private func json(_ hub: Hub) throws(ControlError) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("devices")
        writer.beginArray()
        try hub.eachUpstreamRow(state: state?.rawValue) { writer.value(.object($0.json)) }
        writer.endArray()
        writer.endObject()
        return writer.bytes + [UInt8(ascii: "\n")]
    }

    private func table(_ hub: Hub) throws(ControlError) -> Table {
        var table = Table("NAME", "STATE", "WHY", "SINCE", "UPSTREAM NAME")
        try hub.eachUpstreamRow(state: state?.rawValue) { row in
            let differs = row.differs.map(\.description).joined(separator: ", ")
            table.add(
                row.name?.description ?? row.id?.description ?? "", row.state?.description ?? "",
                row.reason?.description ?? (differs.isEmpty ? "" : "differs: \(differs)"),
                row.since.flatMap(timestamp) ?? "",
                row.upstreamName == row.name ? "" : row.upstreamName?.description ?? "")
        }
        return table
    }
}

/// How a device and upstream stand.
enum DeviceState: String, CaseIterable, ExpressibleByArgument {
    case pending, sent, confirmed, refused, conflict, unprovisioned
}

/// The command `nearhub upstream retry`.
struct UpstreamRetry: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Tell upstream again of a device, or of all that it refused.",
        discussion: """
            Also makes a hub that waits for its next try, or has stopped, try at once. With --json: {"retried":N}.

              nearhub upstream retry
              nearhub upstream retry pump-1
            """)

    @Argument(help: "The device's name; all that were refused if it is left out.") var name: String?
    @OptionGroup var options: HubOptions

    func run() throws {
        let count = try options.hub().retryUpstream(name.map { Text($0) })
        if options.json {
            return try Output.write(.object(JSONObject([.init(name: "retried", value: .integer(Int64(count)))])))
        }
        try Output.write(count == 1 ? "1 device is told again" : "\(count) devices are told again")
    }
}

/// The command `nearhub upstream resolve`.
struct UpstreamResolve: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Decide about a device that upstream refuses or has otherwise.",
        discussion: """
            --rename changes the name upstream only: here the device keeps its own, from which its secret may be derived. \
            --adopt hands it the credentials that upstream has when it asks the next time, for which its window opens.

              nearhub upstream resolve pump-1 --rename north-pump-1
              nearhub upstream resolve pump-1 --keep-local
              nearhub upstream resolve pump-1 --adopt
            """)

    @Argument(help: "The device's name, or the id of one that is gone.") var name: String
    @Option(help: ArgumentHelp("Tell upstream of it under another name.", valueName: "new")) var rename: String?
    @Flag(help: "Leave it as it is, here and there.") var keepLocal = false
    @Flag(help: "Give it the credentials that upstream has.") var adopt = false
    @OptionGroup var options: HubOptions

    func validate() throws {
        guard [rename != nil, keepLocal, adopt].filter(\.self).count == 1 else {
            throw ValidationError("say one of --rename, --keep-local and --adopt")
        }
    }

    func run() throws {
        let decision: UpstreamDecision =
            if let rename { .rename(Text(rename)) } else if keepLocal { .keepLocal } else { .adopt }
        let row = try options.hub().resolveUpstream(Text(name), decision)
        if options.json { return try Output.write(.object(row.json)) }
        try Output.write(row.state.map { "\(name) is now \($0) upstream" } ?? "\(name) stays upstream as it is")
    }
}
