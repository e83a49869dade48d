internal import ArgumentParser
internal import Daemon

/// The command `nearhub serve`.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the hub until SIGTERM or SIGINT.",
        discussion: """
            Logs to stderr, and tells systemd when it is ready (Type=notify). Everything it knows is in the state \
            directory; what it answered survives kill -9 and a power cut.

              nearhub serve
              nearhub serve --state state --set admin.socket=state/nearhub.sock \\
                  --set http.listen=127.0.0.1:8080

            "nearhub check" tells beforehand whether it would start, "nearhub paths" where everything is.
            """)

    @OptionGroup var options: DaemonOptions

    func run() throws {
        throw ExitCode(Daemon.serve(options.serveOptions).rawValue)
    }
}
