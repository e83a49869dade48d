internal import ArgumentParser
internal import ControlClient
internal import JSON

/// The command `nearhub profile …`.
struct Profile: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make, show and delete device profiles.",
        discussion: """
            A device profile is what the devices of one kind have in common. Its key and secret go into their firmware; \
            a device that sends them gets credentials of its own, as the profile's strategy says.

              nearhub profile create pumps --repeat-window 3600
              nearhub profile show pumps --secrets
            """,
        subcommands: [ProfileCreate.self, ProfileList.self, ProfileShow.self, ProfileDelete.self])
}

/// The command `nearhub profile list`.
struct ProfileList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List all profiles, by name.",
        discussion: """
            With --json: {"profiles":[...]}, each as ThingsBoard's REST API has it, key and secret as ***.

              nearhub profile list
            """)

    @OptionGroup var options: HubOptions

    func run() throws {
        let profiles = try options.hub().profiles().map(\.withoutSecrets)
        if options.json {
            return try Output.write(
                .object(JSONObject([.init(name: "profiles", value: .array(profiles.map { .object($0.json) }))])))
        }
        var table = Table("NAME", "STRATEGY", "REPEATS", "SECRET", "MAX DEVICES", "CREATED", "DESCRIPTION")
        for profile in profiles {
            table.add(
                profile.name.description, profile.strategyName, profile.repeatWindow ?? "",
                profile.settings?["secretMode"]?.plain ?? "", profile.settings?["maxDevices"]?.plain ?? "",
                profile.createdTime.flatMap(timestamp) ?? "", profile.note?.description ?? "")
        }
        try Output.write(table.text)
    }
}

/// The command `nearhub profile show`.
struct ProfileShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a profile.",
        discussion: """
            Key and secret are shown as *** unless --secrets asks for them. With --json: the profile as ThingsBoard's \
            REST API has it, the hub's own settings in the member "nearhub".

              nearhub profile show pumps
              nearhub profile show pumps --secrets --json | jq -r .provisionDeviceKey
            """)

    @Argument(help: "The profile's name.") var name: String
    @Flag(help: "Show key and secret.") var secrets = false
    @OptionGroup var options: HubOptions

    func run() throws {
        let profile = try options.hub().profile(named: Text(name))
        try (secrets ? profile : profile.withoutSecrets).show(json: options.json)
    }
}

/// The command `nearhub profile delete`.
struct ProfileDelete: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete a profile that no device uses.",
        discussion: """
            Devices that still send its key are answered NOT_FOUND from then on.

              nearhub profile delete pumps
            """)

    @Argument(help: "The profile's name.") var name: String
    @OptionGroup var options: HubOptions

    func run() throws {
        let hub = try options.hub()
        let profile = try hub.profile(named: Text(name))
        try hub.delete(profile)
        guard options.json else { return try Output.write("profile \(printable(name)) deleted") }
        try Output.write(
            .object(
                JSONObject([
                    .init(name: "deleted", value: .text(profile.name)), .init(name: "id", value: .text(profile.id)),
                ])))
    }
}

extension HubProfile {
    /// Writes the profile as it is, secrets and all.
    func show(json: Bool) throws(Failure) {
        guard !json else { return try Output.write(.object(self.json)) }
        var details = Details()
        details.add("name", name.description)
        details.add("strategy", strategyName)
        details.add("key", key?.description ?? "none")
        details.add("secret", secret?.description ?? "none")
        details.add("repeat window", repeatWindow)
        details.add("secret mode", settings?["secretMode"]?.plain)
        details.add("legacy fields", settings?["legacyFields"]?.bool.map { $0 ? "on" : "off" })
        details.add("allow gateway", settings?["allowGateway"]?.bool.map { $0 ? "on" : "off" })
        details.add("max devices", settings?["maxDevices"]?.plain)
        details.add("description", note?.description)
        details.add("created", createdTime.flatMap(timestamp))
        details.add("id", id.description)
        try Output.write(details.text)
    }

    fileprivate var strategyName: String {
        Strategy.allCases.first { Text($0.protocolName) == strategy }?.rawValue ?? strategy?.description ?? ""
    }

    fileprivate var repeatWindow: String? {
        guard let window = settings?["repeatWindow"] else { return nil }
        return window.integer.map { "\($0) s" } ?? window.plain
    }
}
