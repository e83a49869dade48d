internal import CoAPServer
internal import Crypto
internal import HTTPServer
internal import JSON
internal import Journal
internal import MQTTClient

/// What this program is, and what it is made of.
public enum Version {
    /// Nearhub's own version.
    public static let number = "0.1.0"

    /// The libraries that matter in a bug report, with their versions at run time.
    public static var libraries: [(name: String, version: String)] {
        [HTTPServer.library, CoAPServer.library, MQTTClient.library, JSONValue.library, Digest.library, Log.library]
    }

    /// One line: `nearhub 0.1.0 (libmicrohttpd 0.9.75, …)`.
    public static var line: String {
        "nearhub \(number) (\(libraries.map { "\($0.name) \($0.version)" }.joined(separator: ", ")))"
    }
}
