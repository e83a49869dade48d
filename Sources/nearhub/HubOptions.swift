internal import ArgumentParser
internal import Configuration
internal import ControlClient
internal import Glibc

/// Which hub a command talks to, and how it answers.
struct HubOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The Unix socket of the hub.", valueName: "path"), completion: .file())
    var socket: String?

    @Option(
        help: ArgumentHelp(
            "The hub's configuration, whose [admin] socket is used; else that of $NEARHUB_CONFIG, else of \(Configuration.defaultFile).",
            valueName: "file"), completion: .file())
    var config: String?

    @Flag(help: "Write one JSON document.")
    var json = false

    /// The hub that the options, the environment or the default configuration name.
    func hub() throws(Failure) -> Hub {
        if let socket { return Hub(socket: socket) }
        do {
            return Hub(socket: try Configuration.load(file: file, overrides: []).admin.socket)
        } catch {
            throw Failure(error)
        }
    }

    private var file: String? {
        if let config { return config }
        if let name = unsafe getenv("NEARHUB_CONFIG"), unsafe name.pointee != 0 { return unsafe String(cString: name) }
        return unsafe access(Configuration.defaultFile, F_OK) == 0 ? Configuration.defaultFile : nil
    }
}
