internal import ArgumentParser
internal import ControlClient
internal import JSON

/// The command `nearhub profile create`.
struct ProfileCreate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a profile, and print the key and secret for its devices.",
        discussion: """
            Strategies: "allow-create" makes a device for every new name that asks; "pre-provisioned" answers only \
            devices that were added before (nearhub device add); "disabled" answers none.

            Key and secret are made by the hub, or come from files, so that they stand in no process list:

              nearhub profile create pumps
              nearhub profile create pumps --strategy pre-provisioned
              nearhub profile create pumps --key-file pumps.key --secret-file pumps.secret
              pass show pumps | nearhub profile create pumps --secret-file -
            """)

    @Argument(help: "The profile's name.") var name: String

    @Option(help: "Which devices are answered.") var strategy = Strategy.allowCreate

    @Option(
        help: ArgumentHelp("A file with the key (- is stdin; one newline at its end is cut).", valueName: "file"),
        completion: .file())
    var keyFile: String?

    @Option(
        help: ArgumentHelp("A file with the secret (- is stdin; one newline at its end is cut).", valueName: "file"),
        completion: .file())
    var secretFile: String?

    @Option(help: ArgumentHelp("A note for people.", valueName: "text"))
    var description: String?

    @Option(
        help: ArgumentHelp(
            "How long a device that asks again gets the same credentials, in seconds, or \"forever\"; 0 refuses every repeat, as ThingsBoard does.",
            valueName: "seconds"), transform: RepeatWindow.init)
    var repeatWindow: RepeatWindow?

    @Option(
        help: "Which secret devices send: the profile's, the one derived from it for the device's name, or any of them."
    )
    var secretMode: SecretMode?

    @Option(
        help: ArgumentHelp("Whether answers also have the members of ThingsBoard's old documents.", valueName: "on|off")
    )
    var legacyFields: Switch?

    @Option(help: ArgumentHelp("Whether devices may declare themselves gateways.", valueName: "on|off"))
    var allowGateway: Switch?

    @Option(
        help: ArgumentHelp("The most devices the profile may have.", valueName: "number"),
        transform: { text in
            guard let number = UInt32(text), number > 0 else {
                throw ValidationError("it takes a number from 1 to \(UInt32.max)")
            }
            return number
        })
    var maxDevices: UInt32?

    @OptionGroup var options: HubOptions

    func run() throws {
        try InputFile.refuseTwoStandardInputs(keyFile, secretFile)
        var profile = NewProfile(name: Text(name), strategy: Text(strategy.protocolName))
        if let keyFile { profile.key = try InputFile(keyFile).text() }
        if let secretFile { profile.secret = try InputFile(secretFile).text() }
        profile.note = description.map { Text($0) }
        profile.settings["repeatWindow"] = repeatWindow?.json
        profile.settings["secretMode"] = secretMode.map { .text(Text($0.rawValue)) }
        profile.settings["legacyFields"] = legacyFields.map { .bool($0 == .on) }
        profile.settings["allowGateway"] = allowGateway.map { .bool($0 == .on) }
        profile.settings["maxDevices"] = maxDevices.map { .integer(Int64($0)) }
        try options.hub().create(profile).show(json: options.json)
    }
}

/// The strategies by the names of the command line.
enum Strategy: String, CaseIterable, ExpressibleByArgument {
    case allowCreate = "allow-create"
    case preProvisioned = "pre-provisioned"
    case disabled

    /// ThingsBoard's name (`DeviceProfileProvisionType`).
    var protocolName: String {
        switch self {
        case .allowCreate: "ALLOW_CREATE_NEW_DEVICES"
        case .preProvisioned: "CHECK_PRE_PROVISIONED_DEVICES"
        case .disabled: "DISABLED"
        }
    }
}

/// Which secret devices must know (protocol.md D5).
enum SecretMode: String, CaseIterable, ExpressibleByArgument {
    case shared, derived, either
}

/// A setting that is on or off.
enum Switch: String, CaseIterable, ExpressibleByArgument {
    case on, off
}

/// How long repeats are answered (protocol.md D4).
enum RepeatWindow {
    case seconds(UInt32)
    case forever

    init(_ argument: String) throws {
        if argument == "forever" {
            self = .forever
        } else if let seconds = UInt32(argument) {
            self = .seconds(seconds)
        } else {
            throw ValidationError("it takes a number of seconds, 0 or \"forever\"")
        }
    }

    var json: JSONValue {
        switch self {
        case .seconds(let seconds): .integer(Int64(seconds))
        case .forever: .text("forever")
        }
    }
}
