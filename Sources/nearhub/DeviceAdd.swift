internal import ArgumentParser
internal import ControlClient
internal import JSON

/// The command `nearhub device add`.
struct DeviceAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add a device by hand, before it asks.",
        discussion: """
            Without --credentials-file the hub makes an access token. The file holds one JSON object, one of

              {"credentialsType":"ACCESS_TOKEN","credentialsId":"..."}
              {"credentialsType":"MQTT_BASIC","credentialsValue":
                  {"clientId":"...","userName":"...","password":"..."}}
              {"credentialsType":"X509_CERTIFICATE","credentialsValue":
                  "-----BEGIN CERTIFICATE-----..."}

            The device is printed as "nearhub device show" does, credentials as *** unless --secrets asks for them.

              nearhub device add pump-1 --profile pumps
              nearhub device add pump-2 --profile pumps --label "cellar, left" \\
                  --credentials-file pump-2.json
            """)

    @Argument(help: "The device's name.") var name: String
    @Option(help: ArgumentHelp("The profile it belongs to.", valueName: "name")) var profile: String

    @Option(
        help: ArgumentHelp("A file with its credentials (- is stdin).", valueName: "file"), completion: .file())
    var credentialsFile: String?

    @Option(help: ArgumentHelp("What people call it.", valueName: "text")) var label: String?
    @Flag(help: "It is a gateway in ThingsBoard's sense: other devices are behind it.") var gateway = false
    @Flag(help: "Show the credentials.") var secrets = false
    @OptionGroup var options: HubOptions

    func run() throws {
        let credentials = try credentialsFile.map(Self.credentials)
        let hub = try options.hub()
        var device = NewDevice(name: Text(name), profile: try hub.profile(named: Text(profile)))
        device.label = label.map { Text($0) }
        device.isGateway = gateway
        device.credentials = credentials
        try DeviceReport(of: try hub.add(device), from: hub).show(secrets: secrets, json: options.json)
    }

    /// The credentials of a file, in the shape of the REST API: there the value of MQTT_BASIC is JSON within a string.
    private static func credentials(_ path: String) throws(Failure) -> JSONObject {
        let file = try InputFile(path)
        var credentials = try file.object()
        let advice = "\"nearhub help device add\" shows what belongs in it"
        let known: [Text] = ["credentialsType", "credentialsId", "credentialsValue"]
        if let other = credentials.members.first(where: { !known.contains($0.name) }) {
            throw file.unusable("the member '\(printable(other.name.description))' is unknown", advice)
        }
        let value = credentials["credentialsValue"]
        switch credentials["credentialsType"]?.text {
        case "ACCESS_TOKEN":
            guard credentials["credentialsId"]?.text != nil else {
                throw file.unusable("ACCESS_TOKEN needs the token in credentialsId", advice)
            }
        case "MQTT_BASIC":
            guard let value, value.object != nil || value.text != nil else {
                throw file.unusable("MQTT_BASIC needs an object in credentialsValue", advice)
            }
            if value.object != nil {
                var writer = JSONWriter()
                writer.value(value)
                credentials["credentialsValue"] = .text(Text(utf8: writer.bytes))
            }
        case "X509_CERTIFICATE":
            guard value?.text != nil else {
                throw file.unusable("X509_CERTIFICATE needs the certificate in credentialsValue", advice)
            }
        default:
            throw file.unusable("credentialsType must be ACCESS_TOKEN, MQTT_BASIC or X509_CERTIFICATE", advice)
        }
        return credentials
    }
}
