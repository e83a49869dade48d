import Glibc
import Testing

/// A certificate authority in a directory of its own, made by openssl(1) and gone with this object.
final class Certificates {
    private let directory: String

    /// - Parameter name: tells the authorities of one process apart.
    init(_ name: String) throws {
        directory = "/tmp/nearhub-test-ca-\(getpid())-\(name)"
        // Mosquitto reads the keys as its own user.
        umask(0o022)
        try #require(unsafe mkdir(directory, 0o755) == 0)
        try openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout \(path("ca.key")) -out \(caFile)"
                + " -subj /CN=\(name) -days 2")
    }

    deinit {
        for name in ["ca.key", "ca.pem", "server.key", "server.csr", "server.pem"] { unsafe unlink(path(name)) }
        unsafe rmdir(directory)
    }

    var caFile: String { path("ca.pem") }

    /// Makes a broker's certificate, and returns the lines of mosquitto.conf for it.
    ///
    /// - Parameters:
    ///   - names: for whom, such as `IP:127.0.0.1`.
    ///   - days: how long it is valid; less than nothing for one that has expired.
    func issue(for names: String = "IP:127.0.0.1,DNS:localhost", days: Int = 2) throws -> [String] {
        try openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout \(path("server.key"))"
                + " -out \(path("server.csr")) -subj /CN=nobody -addext subjectAltName=\(names)")
        try openssl(
            "x509 -req -in \(path("server.csr")) -CA \(caFile) -CAkey \(path("ca.key")) -days \(days)"
                + " -copy_extensions copy -out \(path("server.pem"))")
        unsafe chmod(path("server.key"), 0o644)
        return ["certfile \(path("server.pem"))", "keyfile \(path("server.key"))"]
    }

    /// Starts a server of openssl's with the certificate that was issued last.
    func serve(_ arguments: String, port: UInt16) throws -> pid_t {
        try start("s_server -quiet -accept \(port) -cert \(path("server.pem")) -key \(path("server.key")) \(arguments)")
    }

    private func path(_ name: String) -> String { "\(directory)/\(name)" }

    private func start(_ arguments: String) throws -> pid_t {
        try spawn(["/bin/sh", "-c", "exec openssl \(arguments) 2>/dev/null"])
    }

    private func openssl(_ arguments: String) throws {
        var status: CInt = 0
        unsafe waitpid(try start(arguments), &status, 0)
        try #require(status == 0, "openssl \(arguments)")
    }
}
