/// Why a configuration was refused: where, what, and what to do about it.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The place, such as `/etc/nearhub/nearhub.conf:12` or `--set`.
    public let location: String
    /// The key and the rule it breaks.
    public let problem: String
    /// What helps, such as the name of a key that is spelled similarly; nil when the problem says it all.
    public let advice: String?

    init(at location: String, _ problem: String, advice: String? = nil) {
        self.location = location
        self.problem = problem
        self.advice = advice
    }

    /// One line: `/etc/nearhub/nearhub.conf:3: unknown key 'lisen' in [http]; did you mean 'listen'?`.
    public var description: String {
        "\(location): \(problem)" + (advice.map { "; \($0)" } ?? "")
    }
}

/// A piece of the input in quotes, cut after 80 characters, its control characters made visible.
func quoted(_ text: some StringProtocol) -> String {
    var result = "'"
    for scalar in text.unicodeScalars.prefix(80) {
        result += scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
    }
    return result + (text.unicodeScalars.count > 80 ? "…'" : "'")
}

/// The same without the quotes.
func unquoted(_ text: some StringProtocol) -> Substring { quoted(text).dropFirst().dropLast() }
