internal import ArgumentParser
internal import Daemon
internal import JSON

/// The command `nearhub paths`.
struct Paths: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show where everything is.",
        discussion: """
            Shows the paths of configuration, state and socket, whether they exist or not. With --json: an object of \
            names and paths.

              nearhub paths
              nearhub paths --json | jq -r .socket
            """)

    @OptionGroup var options: DaemonOptions
    @Flag(help: "Write one JSON document.") var json = false

    func run() throws {
        let paths = try Daemon.paths(options.optionsOfRunning())
        if json {
            let members = paths.map { JSONObject.Member(name: Text($0.name), value: .text(Text($0.path))) }
            return try Output.write(.object(JSONObject(members)))
        }
        var details = Details()
        for (name, path) in paths { details.add(name, path) }
        try Output.write(details.text)
    }
}
