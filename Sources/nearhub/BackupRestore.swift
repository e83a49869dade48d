internal import ArgumentParser
internal import Backup
internal import Configuration
internal import Daemon
internal import Glibc
internal import JSON

/// The command `nearhub backup`.
struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Write profiles and devices into one file.",
        discussion: """
            The hub may run meanwhile. The file is a tar archive with all keys, secrets and credentials, readable by its \
            owner only; it is not overwritten if it is there. "-" stands for standard output. The state is checked \
            first; exit status 65 means that it is damaged. With --json: {"file", "profiles", "devices"}.

              nearhub backup /mnt/usb/hub-1.tar
              nearhub backup - | ssh office 'umask 077; cat >hub-1.tar'
            """)

    @Argument(help: "The archive to make.", completion: .file()) var file: String
    @OptionGroup var state: StateOption
    @OptionGroup var options: HubOptions

    func validate() throws {
        if options.json && file == "-" { throw ValidationError("--json and the archive cannot both go to stdout") }
    }

    func run() throws {
        if file == "-" && isatty(STDOUT_FILENO) == 1 {
            throw Failure(.usage, "backup", "an archive is nothing for a terminal", "redirect stdout or name a file")
        }
        let directory = try state.directory(options)
        let found = try inProgress("backup") { progress in
            try Backup.write(directory, to: file) { progress.show($1, of: $2, $0) }
        }
        let counts = "\(found.profiles) profiles, \(found.devices) devices"
        guard file != "-" else { return Output.complain("nearhub: backup: \(counts)") }
        guard options.json else { return try Output.write("\(file): \(counts)") }
        try Output.write(found.document([.init(name: "file", value: .text(Text(file)))]))
    }
}

/// The command `nearhub restore`.
struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Make a state directory of a backup.",
        discussion: """
            The hub must be stopped, and the state directory empty or not there: move the old one away first. The backup \
            is checked before it takes the place, all of it or nothing. Devices keep their credentials. As root, the \
            files get the owner of the empty directory. With --json: {"state", "profiles", "devices", "gateway"}.

            Without --replace-gateway the state becomes that of another hub: its logs get new ids. With it the hub goes \
            on as the one of the backup, which must never run again. "-" stands for standard input.

              systemctl stop nearhub && mv /var/lib/nearhub /var/lib/nearhub.old
              nearhub restore /mnt/usb/hub-1.tar --replace-gateway && systemctl start nearhub
            """)

    @Argument(help: "The archive.", completion: .file()) var file: String
    @Option(
        help: ArgumentHelp(
            "The state directory to make; else [store] directory of the configuration.", valueName: "directory"),
        completion: .directory)
    var state: String?
    @OptionGroup var configuration: ConfigurationOption
    @Flag(help: "This gateway takes the place of the one in the backup.") var replaceGateway = false
    @Flag(help: "Write one JSON document.") var json = false

    func validate() throws {
        if state?.isEmpty == true { throw ValidationError("--state needs the path of a directory") }
    }

    func run() throws {
        let state = try state ?? configuration.load().store.directory
        let found = try inProgress("restore") { progress in
            try Restore.read(file, into: state, replacing: replaceGateway) { progress.show($1, of: $2, $0) }
        }
        if found.isWithoutUpstream {
            Output.complain(
                "nearhub: restore: devices.jsonl was copied before upstream.jsonl, which is kept as "
                    + "upstream.jsonl.damaged-0; what came between is not there, and upstream is told everything anew")
        }
        guard json else {
            return try Output.write("restored in \(state): \(found.profiles) profiles, \(found.devices) devices")
        }
        try Output.write(
            found.document([
                .init(name: "state", value: .text(Text(state))),
                .init(name: "gateway", value: .text(replaceGateway ? "replaced" : "new")),
            ]))
    }
}

extension BackupContents {
    /// What is in the state, behind the given members.
    fileprivate func document(_ members: [JSONObject.Member]) -> JSONValue {
        let counts: [JSONObject.Member] = [
            .init(name: "profiles", value: .integer(Int64(profiles))),
            .init(name: "devices", value: .integer(Int64(devices))),
        ]
        return .object(JSONObject(members + counts))
    }
}
