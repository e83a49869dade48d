internal import Configuration
internal import Crypto
internal import JSON
internal import MQTTClient
internal import Upstream

extension Upstream.Plan {
    /// What the hub is to do about upstream, with what its files say; nil when nothing.
    ///
    /// - Parameters:
    ///   - configuration: section [upstream].
    ///   - hub: the hub's own id.
    /// - Throws: files that cannot be read, with the place that names them.
    init?(_ configuration: Configuration, hub: Text) throws(DaemonError) {
        let upstream = configuration.upstream
        guard let url = upstream.url, let dialect = DialectName(rawValue: upstream.dialect.rawValue) else { return nil }
        func place(_ name: String) -> String { configuration.place("upstream", name) }
        var settings = Settings(hub: hub)
        if !upstream.username.isEmpty { settings.login = MQTTLogin(username: upstream.username, password: nil) }
        if !upstream.passwordFile.isEmpty {
            let password = try SecretFile.read(upstream.passwordFile, key: place("password-file"))
            // A gateway of ThingsBoard gives its token as the user name.
            settings.login =
                upstream.username.isEmpty
                ? MQTTLogin(username: password, password: nil)
                : MQTTLogin(username: upstream.username, password: password)
        }
        settings.window = upstream.window
        settings.sessions = upstream.sessions
        settings.rate = upstream.rate
        settings.includesCredentials = upstream.includeCredentials
        if !upstream.provisionKeyFile.isEmpty {
            let key = try SecretFile.read(upstream.provisionKeyFile, key: place("provision-key-file"))
            let secret = try SecretFile.read(upstream.provisionSecretFile, key: place("provision-secret-file"))
            settings.provisioning = (Text(key), Secret(Array(secret.utf8)))
        }
        var tls: MQTTTLS?
        if url.isEncrypted {
            let wanted = MQTTTLS(caFile: upstream.caFile.isEmpty ? nil : upstream.caFile)
            do { try wanted.check() } catch {
                throw DaemonError(.configuration, "\(place(upstream.caFile.isEmpty ? "url" : "ca-file")): \(error)")
            }
            tls = wanted
        }
        self.init(
            dialect, Upstream.Address(host: url.host, port: url.port, tls: tls), url: "\(url)", settings,
            namePrefix: upstream.namePrefix)
    }
}
