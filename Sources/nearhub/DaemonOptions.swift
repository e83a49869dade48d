internal import ArgumentParser
internal import Configuration
internal import Daemon

/// With which configuration and which state the daemon works.
struct DaemonOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The configuration; without it \(Configuration.defaultFile), or defaults if that does not exist.",
            valueName: "file"), completion: .file())
    var config: String?

    @Option(
        help: ArgumentHelp("The directory of profiles and devices.", valueName: "directory"), completion: .directory)
    var state = ServeOptions.defaultStateDirectory

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Set a key of the configuration; may be repeated.", valueName: "section.key=value"))
    var overrides: [String] = []

    func validate() throws {
        if state.isEmpty { throw ValidationError("--state needs the path of a directory") }
    }

    /// The same for the daemon.
    var serveOptions: ServeOptions {
        ServeOptions(configurationFile: config, stateDirectory: state, overrides: overrides)
    }
}
