internal import ArgumentParser
internal import ControlClient
internal import Daemon
internal import JSON

/// Whose state directory a command reads.
struct StateOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The state directory; without it that of the running hub, else \(ServeOptions.defaultStateDirectory).",
            valueName: "directory"), completion: .directory)
    var state: String?

    func validate() throws {
        if state?.isEmpty == true { throw ValidationError("--state needs the path of a directory") }
    }

    /// The directory that is named, or that a running hub says it uses, or the default one.
    func directory(_ options: HubOptions) throws(Failure) -> String {
        if let state { return state }
        let status = try? options.hub().status()
        return status?["state"]?.text?.description ?? ServeOptions.defaultStateDirectory
    }
}
