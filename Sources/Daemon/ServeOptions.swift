internal import Configuration
internal import Glibc

/// What the command line says of the hub.
public struct ServeOptions: Sendable {
    /// The configuration file; nil for the default one, if there is one.
    public let configurationFile: String?
    /// The state directory.
    public let stateDirectory: String
    /// `section.key=value` each; they win over the file.
    public let overrides: [String]

    /// The state directory unless another is given.
    public static let defaultStateDirectory = "/var/lib/nearhub"

    /// Options as given.
    public init(configurationFile: String?, stateDirectory: String, overrides: [String]) {
        self.configurationFile = configurationFile
        self.stateDirectory = stateDirectory
        self.overrides = overrides
    }

    /// The file that is read; nil when all values are defaults.
    var file: String? {
        if let configurationFile { return configurationFile }
        return unsafe access(Configuration.defaultFile, F_OK) == 0 ? Configuration.defaultFile : nil
    }

    func configuration() throws(DaemonError) -> Configuration {
        do { return try Configuration.load(file: file, overrides: overrides) } catch {
            throw DaemonError(.configuration, "\(error)")
        }
    }
}
