internal import ArgumentParser
internal import Configuration
internal import ControlClient
internal import Daemon
internal import JSON

/// Whose state directory a command looks at.
struct StateOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The state directory; else that of the running hub, else [store] directory of the configuration.",
            valueName: "directory"), completion: .directory)
    var state: String?

    func validate() throws {
        if state?.isEmpty == true { throw ValidationError("--state needs the path of a directory") }
    }

    /// The directory that is named, or that a running hub says it uses, or that of the configuration.
    func directory(_ options: HubOptions) throws(Failure) -> String {
        if let state { return state }
        if let running = try options.hub().stateDirectory { return running }
        return try options.configuration.load().store.directory
    }

    /// The same, for the hub that the configuration names.
    func directory(_ configuration: ConfigurationOption) throws(Failure) -> String {
        if let state { return state }
        let configuration = try configuration.load()
        return Hub(socket: configuration.admin.socket).stateDirectory ?? configuration.store.directory
    }
}

extension Hub {
    /// The directory of the hub if it runs and may be asked.
    var stateDirectory: String? { (try? status())?["state"]?.text?.description }
}
