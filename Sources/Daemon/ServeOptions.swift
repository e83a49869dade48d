internal import Configuration

/// What the command line says of the hub.
public struct ServeOptions: Sendable {
    /// The configuration file; nil for that of `$NEARHUB_CONFIG`, or the default one, if there is one.
    public let configurationFile: String?
    /// The state directory; nil for that of the configuration.
    public let stateDirectory: String?
    /// `section.key=value` each; they win over the file.
    public let overrides: [String]

    /// Options as given.
    public init(configurationFile: String?, stateDirectory: String?, overrides: [String]) {
        self.configurationFile = configurationFile
        self.stateDirectory = stateDirectory
        self.overrides = overrides
    }

    /// The file that is read; nil when all values are defaults.
    var file: String? { Configuration.file(configurationFile) }

    func configuration() throws(DaemonError) -> Configuration {
        do { return try Configuration.load(file: file, overrides: overrides) } catch {
            throw DaemonError(.configuration, "\(error)")
        }
    }

    /// The directory that is meant.
    func state(_ configuration: Configuration) -> String { stateDirectory ?? configuration.store.directory }
}
