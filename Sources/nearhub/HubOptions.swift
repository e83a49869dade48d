internal import ArgumentParser
internal import Configuration
internal import ControlClient

/// Which hub a command talks to, and how it answers.
struct HubOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The Unix socket of the hub; else that of the configuration.", valueName: "path"),
        completion: .file())
    var socket: String?

    @OptionGroup var configuration: ConfigurationOption

    @Flag(help: "Write one JSON document.")
    var json = false

    /// The hub that the options, the environment or the default configuration name.
    func hub() throws(Failure) -> Hub {
        if let socket { return Hub(socket: socket) }
        return Hub(socket: try configuration.load().admin.socket)
    }
}
