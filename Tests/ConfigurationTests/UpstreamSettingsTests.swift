import Configuration
import Testing

@Suite("Section upstream")
struct UpstreamSettingsTests {
    private func load(_ settings: String...) throws(ConfigurationError) -> Configuration {
        try Configuration.load(file: nil, overrides: settings.map { "upstream.\($0)" })
    }

    /// What is said of settings that are refused.
    private func refusal(_ settings: String...) -> String? { refusal(settings) }

    private func refusal(_ settings: [String]) -> String? {
        do {
            _ = try Configuration.load(file: nil, overrides: settings.map { "upstream.\($0)" })
            return nil
        } catch { return error.description }
    }

    @Test func `upstream is off unless a dialect is named`() throws {
        #expect(try load().upstream.dialect == .off)
        #expect(try load("url=mqtt://b").upstream.dialect == .off)
        #expect(try load("dialect=thingsboard-gateway", "url=mqtt://b").upstream.dialect == .gateway)
    }

    @Test func `the rate is a number or unlimited`() throws {
        #expect(try load().upstream.rate == 5)
        #expect(try load("rate=0.1").upstream.rate == 0.1)
        #expect(try load("rate=10000").upstream.rate == 10_000)
        #expect(try load("rate=unlimited").upstream.rate == nil)
        for bad in ["0", "0.09", "10001", "", "-1", "1e3", "nan", "inf", "1.2.3", "no"] {
            #expect(throws: ConfigurationError.self) { try load("rate=\(bad)") }
        }
    }

    @Test func `what does not go together is refused`() throws {
        #expect(refusal("dialect=journal")?.contains("'url'") == true)
        let login = ["dialect=journal", "username=u", "password-file=/p"]
        #expect(refusal(login[0], login[1], login[2], "url=mqtt://b")?.contains("allow-plaintext") == true)
        #expect(refusal(login[0], login[1], login[2], "url=mqtt://127.0.0.1")?.contains("in clear") == true)
        #expect(refusal(login[0], login[1], login[2], "url=mqtt://b", "allow-plaintext=yes") == nil)
        #expect(refusal(login[0], login[1], login[2], "url=mqtts://b") == nil)
        #expect(refusal(login[0], login[2], "url=mqtts://b")?.contains("without 'username'") == true)
        #expect(refusal("dialect=thingsboard-gateway", login[2], "url=mqtts://b") == nil)
        #expect(refusal("dialect=journal", "url=mqtt://b", "ca-file=/c")?.contains("mqtts://") == true)
        for file in ["provision-key-file", "provision-secret-file"] {
            #expect(refusal("dialect=thingsboard", "url=mqtt://b", "\(file)=/f")?.contains("alone") == true)
        }
    }

    @Test(arguments: [
        ("journal", "password-file=/p", "the password"), ("journal", "include-credentials=yes", "every device's"),
        ("thingsboard", "provision-secret-file=/p", "the provision secret"),
        ("thingsboard-gateway", "password-file=/p", "the password"),
        ("thingsboard-gateway", "username=tkn7", "the access token"),
    ])
    func `no secret goes in clear unless it may`(dialect: String, secret: String, what: String) throws {
        let key = String(secret.prefix { $0 != "=" })
        var settings = ["dialect=\(dialect)", secret, "provision-key-file=/k"]
        if key != "provision-secret-file" { settings.removeLast() }
        if key == "password-file" { settings.append("username=u") }
        for host in ["192.0.2.1", "127.0.0.1"] {
            let said = refusal(settings + ["url=mqtt://\(host)"])
            #expect(said?.hasPrefix("--set: '\(key)'") == true, "\(said ?? "nothing")")
            #expect(said?.contains(what) == true && said?.contains("allow-plaintext") == true)
            #expect(said?.contains("tkn7") == false)
        }
        #expect(refusal(settings + ["url=mqtt://b", "allow-plaintext=yes"]) == nil)
        #expect(refusal(settings + ["url=mqtts://b"]) == nil)
    }

    @Test func `what another dialect would send is no secret of this one`() throws {
        #expect(refusal(["dialect=thingsboard", "url=mqtt://b", "include-credentials=yes", "username=u"]) == nil)
        #expect(refusal(["dialect=journal", "url=mqtt://b", "username=u"]) == nil)
    }

    @Test func `a key knows where it was set`() throws {
        let configuration = try load("dialect=journal", "url=mqtts://b")
        #expect(configuration.place("upstream", "url") == "--set: [upstream] url")
        #expect(configuration.place("upstream", "ca-file") == "[upstream] ca-file")
        #expect(try configuration == load("dialect=journal", "url=mqtts://b"))
    }
}
