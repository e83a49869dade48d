extension ConfigurationKey {
    /// Section `[upstream]`.
    static let upstream: [ConfigurationKey] = [
        ConfigurationKey(
            section: "upstream", name: "dialect", fallback: "off", shape: .dialect(\.upstream.dialect),
            help: [
                "How upstream is told of every device: journal (retained records at any MQTT 5 broker),",
                "thingsboard (they ask again there, with the credentials they have here; also at another hub),",
                "thingsboard-gateway (names, profiles and attributes, no credentials), or off.",
            ]),
        ConfigurationKey(
            section: "upstream", name: "url", fallback: "", shape: .broker(\.upstream.url),
            help: [
                "Where upstream is: mqtt://HOST[:PORT], or mqtts:// with TLS. When it is away the hub tries again",
                "for ever, and goes on where it stopped.",
            ]),
        ConfigurationKey(
            section: "upstream", name: "username", fallback: "", shape: .text(0...128, \.upstream.username),
            help: [
                "The user name for journal and thingsboard-gateway. Dialect thingsboard needs none."
            ]),
        ConfigurationKey(
            section: "upstream", name: "password-file", fallback: "", shape: .text(0...192, \.upstream.passwordFile),
            help: [
                "A file with the password, which nobody may read but its owner, root or the hub's user. With",
                "thingsboard-gateway and no username: the access token of the hub's device there.",
            ]),
        ConfigurationKey(
            section: "upstream", name: "allow-plaintext", fallback: "no", shape: .flag(\.upstream.allowPlaintext),
            help: [
                "Whether what is secret may go over mqtt://, where everybody on the way can read it, yes or no:",
                "the password, a token as username, the provision secret, and what include-credentials adds.",
            ]),
        ConfigurationKey(
            section: "upstream", name: "ca-file", fallback: "", shape: .text(0...192, \.upstream.caFile),
            help: [
                "A PEM file with the certificates that vouch for the server of mqtts://. Left empty, those of the",
                "system do, /etc/ssl/certs. The name in the url must be one that its certificate names.",
            ]),
        ConfigurationKey(
            section: "upstream", name: "window", fallback: "20", shape: .integer(1...100, \.upstream.window),
            help: ["The most devices on their way at the same time, 1 to 100 (journal, thingsboard-gateway)."]),
        ConfigurationKey(
            section: "upstream", name: "sessions", fallback: "4", shape: .integer(1...16, \.upstream.sessions),
            help: ["The most connections, each with one device on its way, 1 to 16 (thingsboard)."]),
        ConfigurationKey(
            section: "upstream", name: "rate", fallback: "5", shape: .rate(0.1...10000, \.upstream.rate),
            help: ["The most devices a second, 0.1 to 10000, or unlimited (thingsboard)."]),
        ConfigurationKey(
            section: "upstream", name: "include-credentials", fallback: "no",
            shape: .flag(\.upstream.includeCredentials),
            help: [
                "Whether records hold the credentials, not only a hash of their id, yes or no (journal). EVERY",
                "client of that broker that may read the records can then be every device.",
            ]),
        ConfigurationKey(
            section: "upstream", name: "name-prefix", fallback: "", shape: .text(0...128, \.upstream.namePrefix),
            help: [
                "What stands before each device's name upstream, for sites whose names collide. Nothing is renamed",
                "by itself.",
            ]),
        ConfigurationKey(
            section: "upstream", name: "provision-key-file", fallback: "",
            shape: .text(0...192, \.upstream.provisionKeyFile),
            help: [
                "A file with the provision key of one profile upstream for all devices (thingsboard). Left empty,",
                "each device asks with key and secret of its own profile, which upstream must have too.",
            ]),
        ConfigurationKey(
            section: "upstream", name: "provision-secret-file", fallback: "",
            shape: .text(0...192, \.upstream.provisionSecretFile),
            help: ["A file with the provision secret that goes with it."]),
    ]
}
