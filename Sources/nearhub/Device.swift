internal import ArgumentParser
internal import ControlClient
internal import JSON

/// The command `nearhub device …`.
struct Device: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Add, show and list devices.",
        discussion: """
            Devices of a profile with strategy "allow-create" appear here by themselves once they ask; those of a \
            "pre-provisioned" one are added first.

              nearhub device add pump-1 --profile pumps
              nearhub device show pump-1 --secrets
            """,
        subcommands: [DeviceAdd.self, DeviceList.self, DeviceShow.self])
}

/// The command `nearhub device list`.
struct DeviceList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List all devices, in the order they came.",
        discussion: """
            With --json: {"devices":[...]}, each with id, name, profile, credentialsType, provisioned and createdTime \
            (milliseconds since 1970).

              nearhub device list
              nearhub device list --json | jq '.devices[] | select(.provisioned)'
            """)

    @OptionGroup var options: HubOptions

    func run() throws {
        let hub = try options.hub()
        try options.json ? Output.write(Self.json(hub)) : Output.write(Self.table(hub).text)
    }

    private static func json(_ hub: Hub) throws(ControlError) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("devices")
        writer.beginArray()
        try hub.eachDevice { writer.value(.object($0.json)) }
        writer.endArray()
        writer.endObject()
        return writer.bytes + [UInt8(ascii: "\n")]
    }

    private static func table(_ hub: Hub) throws(ControlError) -> Table {
        var table = Table("NAME", "PROFILE", "CREDENTIALS", "PROVISIONED", "CREATED")
        try hub.eachDevice { device in
            table.add(
                device.name?.description ?? "", device.profile?.description ?? "",
                device.credentialsType?.description ?? "", device.isProvisioned ? "yes" : "no",
                device.createdTime.flatMap(timestamp) ?? "")
        }
        return table
    }
}

/// The command `nearhub device show`.
struct DeviceShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a device with its credentials and attributes.",
        discussion: """
            Access tokens, passwords and certificates are shown as *** unless --secrets asks for them. With --json: the \
            device as ThingsBoard's REST API has it, with the members "credentials" (its credentials, likewise) and \
            "attributes" (those of the server scope).

              nearhub device show pump-1
              nearhub device show pump-1 --secrets --json | jq -r .credentials.credentialsId
            """)

    @Argument(help: "The device's name.") var name: String
    @Flag(help: "Show the credentials.") var secrets = false
    @OptionGroup var options: HubOptions

    func run() throws {
        let hub = try options.hub()
        try DeviceReport(of: try hub.device(named: Text(name)), from: hub).show(secrets: secrets, json: options.json)
    }
}

/// A device with all that belongs to it.
struct DeviceReport {
    private let device: HubDevice
    private let credentials: HubCredentials
    private let attributes: [JSONObject]

    /// Asks the hub for what belongs to a device.
    init(of device: HubDevice, from hub: Hub) throws(ControlError) {
        self.device = device
        credentials = try hub.credentials(of: device)
        attributes = try hub.attributes(of: device)
    }

    /// Writes it, with credentials or `***`.
    func show(secrets: Bool, json: Bool) throws(Failure) {
        let credentials = secrets ? credentials : credentials.withoutSecrets
        guard json else { return try Output.write(details(credentials).text) }
        var document = device.json
        document["credentials"] = .object(credentials.json)
        document["attributes"] = .array(attributes.map { .object($0) })
        try Output.write(.object(document))
    }

    private func details(_ credentials: HubCredentials) -> Details {
        var details = Details()
        details.add("name", device.name.description)
        details.add("label", device.label?.description)
        details.add("profile", device.profile?.description)
        details.add("gateway", device.isGateway ? "yes" : "no")
        details.add("credentials", credentials.type?.description)
        details.add("credentials id", credentials.id?.description)
        details.add("credentials value", credentials.value?.description)
        for attribute in attributes {
            let text = attribute["value"].map { value in
                var writer = JSONWriter()
                writer.value(value)
                return value.plain ?? String(decoding: writer.bytes, as: UTF8.self)
            }
            details.add("attribute \(attribute["key"]?.plain ?? "")", text)
        }
        details.add("created", device.createdTime.flatMap(timestamp))
        details.add("id", device.id.description)
        return details
    }
}
