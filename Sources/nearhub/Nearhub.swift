internal import ArgumentParser
internal import Daemon

/// The command `nearhub`: the daemon, and everything an operator does with it.
@main struct Nearhub: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Device provisioning for ThingsBoard devices, at the site itself.",
        discussion: """
            The hub (nearhub serve) answers the provisioning requests of devices while the way to their ThingsBoard \
            server is cut. An operator makes profiles for it, and looks after its devices:

              nearhub profile create pumps
              nearhub device list
              nearhub status

            These talk to the running hub over its Unix socket, the commands of the state read its directory; only root \
            and the user the hub runs as may. With --json a command writes one JSON document for programs.

            Exit status: 0 done, 1 refused, 64 usage, 65 damaged data, 74 input or output failed, 75 the hub is not \
            reachable or busy, 78 configuration.
            """,
        version: Version.line,
        groupedSubcommands: [
            CommandGroup(name: "Daemon", subcommands: [Serve.self, Check.self, Paths.self]),
            CommandGroup(name: "Operator", subcommands: [Status.self, Profile.self, Device.self, Upstream.self]),
            CommandGroup(
                name: "State", subcommands: [Audit.self, BackupCommand.self, RestoreCommand.self, LogCommand.self]),
            CommandGroup(name: "Device", subcommands: [Provision.self]),
        ])

    static func main() { runCommandLine() }
}
