internal import EventLoop
internal import Glibc
internal import HTTPServer
internal import TestSupport
internal import Testing

@Suite("A listening socket")
struct ListeningSocketTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: ["127.0.0.1", "::1"]) func `over TCP it tells the port that it got`(host: String) throws {
        let socket = try ListeningSocket.tcp(host: host, port: 0)
        let shown = host == "::1" ? "[::1]:" : "127.0.0.1:"
        let address = socket.address
        #expect(address.hasPrefix(shown))
        let port = try #require(UInt16(address.dropFirst(shown.count)))
        #expect(port > 0)
        let error = refusal { () throws(SystemError) in _ = try ListeningSocket.tcp(host: host, port: port) }
        #expect(error?.code == EADDRINUSE)
        #expect(error?.description == "listen on \(shown)\(port): Address already in use")
    }

    @Test(arguments: ["localhost", "", "256.0.0.1", "127.0.0.1 ", "[::1]", "::g"])
    func `over TCP a host must be an address`(host: String) {
        let error = refusal { () throws(SystemError) in _ = try ListeningSocket.tcp(host: host, port: 0) }
        #expect(error?.code == EADDRNOTAVAIL)
    }

    @Test func `over TCP an address of another machine is refused`() {
        let error = refusal { () throws(SystemError) in _ = try ListeningSocket.tcp(host: "192.0.2.1", port: 0) }
        #expect(error == SystemError("listen on", "192.0.2.1:0", code: EADDRNOTAVAIL))
    }

    @Test func `a Unix socket is for its owner only`() throws {
        let path = "\(directory.path)/hub.sock"
        let socket = try ListeningSocket.unix(path: path)
        let address = socket.address
        #expect(address == path)
        var info = stat()
        #expect(unsafe stat(path, &info) == 0)
        #expect(info.st_mode & S_IFMT == S_IFSOCK)
        #expect(info.st_mode & 0o777 == 0o600)
    }

    @Test func `a Unix socket that is answered is left alone, one left behind is replaced`() throws {
        let path = "\(directory.path)/hub.sock"
        do {
            let first = try ListeningSocket.unix(path: path)
            let error = refusal { () throws(SystemError) in _ = try ListeningSocket.unix(path: path) }
            #expect(error == SystemError("listen on", path, code: EADDRINUSE))
            let address = first.address
            #expect(address == path)
        }
        #expect(directory.names == ["hub.sock"])
        let second = try ListeningSocket.unix(path: path)
        let address = second.address
        #expect(address == path)
    }

    @Test func `what is no socket is left alone`() throws {
        let path = "\(directory.path)/file"
        try directory.touch("file")
        // connect(2) says ECONNREFUSED of a regular file too; it was once deleted for that.
        let error = refusal { () throws(SystemError) in _ = try ListeningSocket.unix(path: path) }
        #expect(error != nil)
        var info = stat()
        #expect(unsafe lstat(path, &info) == 0)
        #expect(info.st_mode & S_IFMT == S_IFREG)
    }

    @Test func `a path of 107 bytes is taken, a longer one refused with the reason`() throws {
        let longest = directory.path + "/" + String(repeating: "x", count: 107 - directory.path.utf8.count - 1)
        let socket = try ListeningSocket.unix(path: longest)
        let address = socket.address
        #expect(address == longest)
        let error = refusal { () throws(SystemError) in _ = try ListeningSocket.unix(path: longest + "x") }
        #expect(error?.code == ENAMETOOLONG)
    }

    @Test func `a directory that is not there is refused with the reason`() {
        let error = refusal { () throws(SystemError) in _ = try ListeningSocket.unix(path: "\(directory.path)/no/sock")
        }
        #expect(error?.code == ENOENT)
    }

    /// What the body threw.
    private func refusal(_ body: () throws(SystemError) -> Void) -> SystemError? {
        do throws(SystemError) {
            try body()
            return nil
        } catch { return error }
    }
}
