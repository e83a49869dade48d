internal import ArgumentParser
internal import Configuration

/// Which configuration a command reads.
struct ConfigurationOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The configuration; else that of $NEARHUB_CONFIG, else \(Configuration.defaultFile), or defaults if that does not exist.",
            valueName: "file"), completion: .file())
    var config: String?

    /// What it says.
    func load() throws(Failure) -> Configuration {
        do { return try Configuration.load(file: Configuration.file(config), overrides: []) } catch {
            throw Failure(error)
        }
    }
}
