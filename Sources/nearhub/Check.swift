internal import ArgumentParser
internal import Daemon
internal import JSON

/// The command `nearhub check`.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check configuration and state, and change nothing.",
        discussion: """
            Reads both as a start would, a running hub or not, and says what it found. The state is that of --state, \
            such as a copy that others may read; else that of the running hub, else that of the configuration. With \
            --json: {"checked":["...", ...]}.

              nearhub check && systemctl restart nearhub
              nearhub check --state /mnt/copy
              nearhub check --set http.listen=127.0.0.1:8080

            Exit status: 0 all is fine, 78 the configuration is wrong, 65 the state is damaged.
            """)

    @OptionGroup var options: DaemonOptions
    @Flag(help: "Write one JSON document.") var json = false

    func run() throws {
        let lines = try inProgress("check") { progress in
            try Daemon.check(options.optionsOfRunning(), copy: options.state != nil) { progress.show($1, of: $2, $0) }
        }
        guard json else { return try Output.write(lines.joined(separator: "\n")) }
        let checked = JSONValue.array(lines.map { .text(Text($0)) })
        try Output.write(.object(JSONObject([.init(name: "checked", value: checked)])))
    }
}
