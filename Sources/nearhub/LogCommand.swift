internal import ArgumentParser
internal import Configuration
internal import ControlClient
internal import Daemon
internal import Glibc
internal import JSON

/// The command `nearhub log`.
struct LogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log", abstract: "Look after the logs in which profiles and devices are kept.",
        subcommands: [LogVerify.self, LogRepair.self, LogCompact.self])
}

/// The command `nearhub log verify`.
struct LogVerify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Read all logs from beginning to end, and change nothing.",
        discussion: """
            Checks every line, a running hub or not, and names file, byte and line of what is damaged. An unfinished \
            batch at the end of a log is no damage. With --json: {"logs":[{"log","good","text"}]}.

              nearhub log verify --state /mnt/copy

            Exit status: 0 all is whole, 65 a log is damaged.
            """)

    @OptionGroup var state: StateOption
    @OptionGroup var options: HubOptions

    func run() throws {
        let directory = try state.directory(options)
        let verdicts = try inProgress("log verify") { progress in
            try Daemon.verifyLogs(directory) { progress.show($1, of: $2, $0) }
        }
        if options.json {
            let logs = verdicts.map { verdict in
                JSONValue.object(
                    JSONObject([
                        .init(name: "log", value: .text(Text(verdict.name))),
                        .init(name: "good", value: .bool(verdict.isGood)),
                        .init(name: "text", value: .text(Text(verdict.description))),
                    ]))
            }
            try Output.write(.object(JSONObject([.init(name: "logs", value: .array(logs))])))
        } else {
            let good = verdicts.filter(\.isGood).map(\.description)
            if !good.isEmpty { try Output.write(good.joined(separator: "\n")) }
        }
        guard let bad = verdicts.first(where: { !$0.isGood }) else { return }
        for other in verdicts where !other.isGood && other.name != bad.name {
            Output.complain("nearhub: \(other.description)")
        }
        throw Failure(
            .damagedData, "log verify", bad.description,
            "restore the file from a backup, or stop the hub and run: nearhub log repair")
    }
}

/// The command `nearhub log repair`.
struct LogRepair: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair", abstract: "Write damaged logs anew from what of them is whole.",
        discussion: """
            The hub must be stopped. A backup is better, if there is one: each line that is set aside is a state of a \
            profile or device that is lost, and printed with its number and id as far as they can be read. The damaged \
            log stays as NAME.jsonl.damaged-N. A log that is gone begins anew, empty. Logs that are whole are not \
            touched; upstream.jsonl is set aside if it tells of what is lost. Without its admin.jsonl the hub gets a new id.

              systemctl stop nearhub && nearhub log repair && systemctl start nearhub

            Exit status: 0 all logs are whole now, 75 a hub uses them, 65 a newer nearhub wrote them.
            """)

    @OptionGroup var state: StateOption
    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
        let directory = try state.directory(configuration)
        var isWhole = true
        var written: (any Error)?
        try inProgress("log repair") { progress in
            try Daemon.repairLogs(directory, progress: { progress.show($1, of: $2, $0) }) { lines in
                progress.end()
                isWhole = false
                do { for line in lines { try Output.write(line) } } catch { written = error }
            }
        }
        if let written { throw written }
        if isWhole { try Output.write("\(directory): no log is damaged, nothing was changed") }
    }
}

/// The command `nearhub log compact`.
struct LogCompact: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact", abstract: "Write the logs anew without what later lines have replaced.",
        discussion: """
            A running hub does it while it serves; one that is stopped needs no hub. Every line that stays is copied as \
            it is, and verified. A power cut meanwhile leaves the old log or the new one, whole. A hub also does it by \
            itself when more than half of a log over 1 MiB is replaced. With --state it is the logs of that directory, \
            which no hub may use. With --json: {"logs":[{"text"}]}.

              nearhub log compact

            Exit status: 0 done, 65 a log is damaged, 74 the disk failed or has no room, 75 a hub uses the logs.
            """)

    @OptionGroup var options: HubOptions
    @Option(help: ArgumentHelp("The state directory.", valueName: "directory"), completion: .directory)
    var state: String?

    func run() throws {
        let compacted =
            try state.map(stopped) ?? running() ?? stopped(options.configuration.load().store.directory)
        guard options.json else { return try Output.write(compacted.joined(separator: "\n")) }
        let logs = compacted.map { JSONValue.object(JSONObject([.init(name: "text", value: .text(Text($0)))])) }
        try Output.write(.object(JSONObject([.init(name: "logs", value: .array(logs))])))
    }

    private func stopped(_ state: String) throws -> [String] {
        let compacted = try inProgress("log compact") { progress in
            try Daemon.compactLogs(state) { progress.show($1, of: $2, $0) }
        }
        return compacted.isEmpty ? ["\(state): nothing is replaced, nothing was changed"] : compacted
    }

    /// Nil when no hub runs.
    private func running() throws -> [String]? {
        let hub = try options.hub()
        guard (try? hub.status()) != nil else { return nil }
        let logs = try inProgress("log compact") { progress in
            try hub.compactLogs(pause: { usleep(100_000) }, progress: { progress.show($0, of: $1) })
        }
        if let log = logs.first(where: { $0.failure != nil }) {
            throw Failure(
                log.isDamaged ? .damagedData : .inputOutput, "log compact",
                "\(log.log).jsonl stays as it is: \(log.failure ?? "")",
                log.isDamaged ? "stop the hub and run nearhub log repair" : "see the hub's log")
        }
        return logs.map { log in
            guard let bytes = log.bytes else { return "\(log.log).jsonl: nothing is replaced, nothing was changed" }
            return "\(log.log).jsonl: \(bytes.now) bytes; before it had \(bytes.before) bytes"
        }
    }
}
