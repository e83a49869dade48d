internal import ArgumentParser
internal import ControlClient
internal import Daemon

/// With which configuration and which state the daemon works.
struct DaemonOptions: ParsableArguments {
    @OptionGroup var configuration: ConfigurationOption

    @Option(
        help: ArgumentHelp(
            "The directory of profiles and devices; else [store] directory of the configuration.",
            valueName: "directory"), completion: .directory)
    var state: String?

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Set a key of the configuration; may be repeated.", valueName: "section.key=value"))
    var overrides: [String] = []

    func validate() throws {
        if state?.isEmpty == true { throw ValidationError("--state needs the path of a directory") }
    }

    /// The same for the daemon.
    var serveOptions: ServeOptions {
        ServeOptions(configurationFile: configuration.config, stateDirectory: state, overrides: overrides)
    }

    /// The same for a look at the hub: without `--state` the directory is that of the one that runs, if one does.
    func optionsOfRunning() throws -> ServeOptions {
        let running = try state ?? Hub(socket: Daemon.socket(serveOptions)).stateDirectory
        return ServeOptions(configurationFile: configuration.config, stateDirectory: running, overrides: overrides)
    }
}
