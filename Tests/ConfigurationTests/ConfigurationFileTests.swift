import Configuration
import Glibc
import Testing

@Suite("Configuration file")
struct ConfigurationFileTests {
    @Test func `without a file every key has its default`() throws {
        let configuration = try Configuration.load(file: nil, overrides: [])
        #expect(configuration.http.listen.map(\.description) == ["0.0.0.0:8080", "[::]:8080"])
        #expect(configuration.http.maxConnections == 1024)
        #expect(configuration.http.maxConnectionsPerAddress == 256)
        #expect(configuration.admin.socket == "/run/nearhub/nearhub.sock")
        #expect(configuration.log.level == .info)
    }

    @Test func `keys of a file stand, all others keep their defaults`() throws {
        let configuration = try load(
            """
            ; a comment
            [http]
            listen = 127.0.0.1:0 [::1]:9090   ; behind a value
              10.0.0.1:80
            max-connections = 7
            [log]
            # another comment
            level: debug
            """)
        #expect(configuration.http.listen.map(\.description) == ["127.0.0.1:0", "[::1]:9090", "10.0.0.1:80"])
        #expect(configuration.http.maxConnections == 7)
        #expect(configuration.http.maxConnectionsPerAddress == 256)
        #expect(configuration.log.level == .debug)
    }

    @Test func `an empty list turns HTTP off`() throws {
        #expect(try load("[http]\nlisten =\n").http.listen.isEmpty)
        #expect(try load("[coap]\nlisten =\n").coap.listen.isEmpty)
        #expect(try load("[http]\nlisten =\n 127.0.0.1:1\n").http.listen.count == 1)
    }

    @Test func `a byte order mark and carriage returns do no harm`() throws {
        #expect(try load("\u{FEFF}[log]\r\nlevel = error\r\n").log.level == .error)
    }

    @Test func `an override beats the file, and a later one an earlier one`() throws {
        let configuration = try load(
            "[log]\nlevel = error\n", overrides: ["log.level=trace", "log.level=debug", "admin.socket=a=b.sock"])
        #expect(configuration.log.level == .debug)
        #expect(configuration.admin.socket == "a=b.sock")
    }

    @Test(arguments: [
        ("[http]\nlisen = x", "F:2: unknown key 'lisen' in [http]; did you mean 'listen'?"),
        (
            "[http]\nmax_connections = 1",
            "F:2: unknown key 'max_connections' in [http]; did you mean 'max-connections'?"
        ),
        ("\n\n[htpp]\nlisten = ", "F:3: unknown section [htpp]; did you mean [http]?"),
        ("[web]\nlisten = ", "F:1: unknown section [web]; that key belongs in [http]"),
        (
            "[web]\nx = 1",
            "F:1: unknown section [web]; the sections are [http], [coap], [mqtt], [upstream], [admin], [store], [log]"
        ),
        ("[http]\nlevel = info", "F:2: unknown key 'level' in [http]; that key belongs in [log]"),
        ("[admin]\ncolour = red", "F:2: unknown key 'colour' in [admin]; [admin] knows socket"),
        (
            "[http]\nlisten 127.0.0.1:0",
            "F:2: unknown key 'listen 127.0.0.1' in [http]; a = belongs behind 'listen'"
        ),
        ("level = info", "F:1: 'level' stands outside of any section; that key belongs in [log]"),
        (
            "[log]\nlevel = info\n\nlevel = info",
            "F:4: 'level' of [log] was already set in line 2; keep one of the two lines"
        ),
        (
            "[log]\nlevel = info\n[log]\n level = info",
            "F:4: 'level' of [log] was already set in line 2; keep one of the two lines"
        ),
        (
            "[log]\nlevel = inof",
            "F:2: 'level' of [log]: 'inof' is not one of trace, debug, info, notice, warning, error, critical; did you mean 'info'?"
        ),
        ("[http]\nmax-connections = 0", "F:2: 'max-connections' of [http]: '0' is not a number from 1 to 65536"),
        (
            "[http]\nmax-connections = 65537",
            "F:2: 'max-connections' of [http]: '65537' is not a number from 1 to 65536"
        ),
        ("[http]\nmax-connections = +5", "F:2: 'max-connections' of [http]: '+5' is not a number from 1 to 65536"),
        ("[http]\nmax-connections =", "F:2: 'max-connections' of [http]: '' is not a number from 1 to 65536"),
        (
            "[http]\nlisten = 127.0.0.1:1 127.0.0.1:1",
            "F:2: 'listen' of [http]: '127.0.0.1:1' stands there twice; keep one of them"
        ),
        ("[admin]\nsocket =", "F:2: 'socket' of [admin]: '' is not the path of a socket"),
        ("[http]\nlisten", "F:2: neither a [section] nor key = value nor a comment; comments begin with # or ;"),
        ("[http\nlisten = ", "F:1: neither a [section] nor key = value nor a comment; comments begin with # or ;"),
        (
            "[http]\nlisten = 127.0.0.1:1\n max-connections = 1",
            "F:3: begins with a blank, so it continues 'listen' of line 2; a key begins at the start of its line"
        ),
        (
            "[log]\nlevel = a\u{1B}[31m",
            #"F:2: 'level' of [log]: 'a\u{1B}[31m' is not one of trace, debug, info, notice, warning, error, critical"#
        ),
        ("[log]\n\0level = info", "F:2: holds a NUL byte"),
    ])
    func `what is wrong is named with its line`(text: String, message: String) {
        #expect(refusal { try load(text) } == message)
    }

    @Test func `a line over the buffer of inih is refused, one that just fits is read`() throws {
        let fits = "#" + String(repeating: "x", count: 197) + "\n[log]\nlevel = error"
        #expect(try load(fits).log.level == .error)
        let long = "[log]\n#" + String(repeating: "x", count: 198) + "\nlevel = error"
        #expect(
            refusal { try load(long) }
                == "F:2: the line is too long, 198 bytes are the limit; continue it on a line that begins with a blank")
        let last = "[log]\n#" + String(repeating: "x", count: 198)
        #expect(refusal { try load(last) }?.hasPrefix("F:2: the line is too long") == true)
    }

    @Test func `a file over 64 KiB is refused`() throws {
        let line = "# 3456789 123456789 123456789 1\n"
        #expect(try load(String(repeating: line, count: 2048)).log.level == .info)
        #expect(
            refusal { try load(String(repeating: line, count: 2048) + "#") }
                == "F: has more than 65536 bytes; is it a configuration file?")
    }

    @Test func `bytes that are not UTF-8 are refused`() {
        #expect(refusal { try load(bytes: Array("[log]\nlevel = ".utf8) + [0xFF]) } == "F:2: is not UTF-8 text")
    }

    @Test func `a file that cannot be read is an error, even if nothing else is asked`() {
        #expect(
            refusal { try Configuration.load(file: "/nonexistent/nearhub.conf", overrides: []) }
                == "/nonexistent/nearhub.conf: cannot be read: No such file or directory")
        #expect(
            refusal { try Configuration.load(file: "/", overrides: []) } == "/: cannot be read: Is a directory")
    }

    @Test(arguments: [
        (
            "log.level",
            "--set: 'log.level' is not of the form section.key=value; an example is --set http.listen=127.0.0.1:8080"
        ),
        (
            "level=info",
            "--set: 'level=info' is not of the form section.key=value; an example is --set http.listen=127.0.0.1:8080"
        ),
        ("", "--set: '' is not of the form section.key=value; an example is --set http.listen=127.0.0.1:8080"),
        ("htp.listen=", "--set htp.listen: unknown section [htp]; did you mean [http]?"),
        ("http.lsten=", "--set http.lsten: unknown key 'lsten' in [http]; did you mean 'listen'?"),
        (
            "http.max-connections=many",
            "--set http.max-connections: 'max-connections' of [http]: 'many' is not a number from 1 to 65536"
        ),
    ])
    func `an override is checked like a line`(override: String, message: String) {
        #expect(refusal { try Configuration.load(file: nil, overrides: [override]) } == message)
    }

    @Test func `a socket path ends at 107 bytes`() throws {
        let path = "/" + String(repeating: "s", count: 106)
        #expect(try Configuration.load(file: nil, overrides: ["admin.socket=\(path)"]).admin.socket == path)
        #expect(
            refusal { try Configuration.load(file: nil, overrides: ["admin.socket=\(path)s"]) }?
                .hasSuffix("has 108 bytes, a Unix socket has 107 at most; choose a shorter path") == true)
    }
}

/// The message of what a body refuses, the path of its temporary file written as `F`; nil when it refuses nothing.
private func refusal(_ body: () throws -> Configuration) -> String? {
    do {
        _ = try body()
        return nil
    } catch {
        let text = String(describing: error)
        guard text.hasPrefix("/tmp/nearhub-test-"), let colon = text.firstIndex(of: ":") else { return text }
        return "F" + text[colon...]
    }
}

private func load(_ text: String, overrides: [String] = []) throws -> Configuration {
    try load(bytes: Array(text.utf8), overrides: overrides)
}

private func load(bytes: [UInt8], overrides: [String] = []) throws -> Configuration {
    var template = Array("/tmp/nearhub-test-XXXXXX\0".utf8CString.dropLast())
    let descriptor = unsafe mkstemp(&template)
    try #require(descriptor >= 0)
    let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer {
        close(descriptor)
        unsafe unlink(path)
    }
    let written = unsafe write(descriptor, bytes, bytes.count)
    try #require(written == bytes.count)
    return try Configuration.load(file: path, overrides: overrides)
}
