internal import Configuration
internal import EventLoop
internal import Glibc
internal import HTTPServer
internal import JSON
internal import Logging

/// What listens where, and what does not and why.
struct Faces {
    /// All servers, the one for administrators among them.
    private(set) var servers: [HTTPServer] = []
    private var listening: [String] = []
    private var failed: [(address: String, reason: String)] = []
    private var socket = ""

    /// Opens the addresses for devices; one that cannot be had is reported and no reason to stop, all of them are.
    mutating func openHTTP(
        _ addresses: [ListenAddress], _ limits: ConnectionLimits, _ logger: Logger,
        _ handler: @escaping HTTPServer.Handler
    ) throws(DaemonError) {
        if addresses.isEmpty { logger.notice("http is off: [http] listen is empty") }
        var last: SystemError?
        for address in addresses {
            do throws(SystemError) {
                let server = try HTTPServer(.tcp(host: address.host, port: address.port), limits: limits, handler)
                logger.notice("http listens on \(server.address), in clear")
                listening.append(server.address)
                servers.append(server)
            } catch {
                logger.warning("http does not listen on \(address): \(error.reason)")
                failed.append((address.description, error.reason))
                last = error
            }
        }
        if let last, servers.isEmpty { throw Self.occupied(last, "[http] listen") }
    }

    /// Opens the Unix socket for administrators.
    mutating func openAdmin(_ path: String, _ logger: Logger, _ handler: @escaping HTTPServer.Handler)
        throws(DaemonError)
    {
        do throws(SystemError) {
            let server = try HTTPServer(.unix(path: path), limits: nil, handler)
            socket = server.address
            servers.append(server)
        } catch { throw Self.occupied(error, "[admin] socket") }
        logger.notice("administrators reach the hub at \(socket), not over the network")
    }

    /// Writes the members `http` and `admin` of the status.
    func writeStatus(to json: inout JSONWriter, connections: Int) {
        json.name("http")
        json.beginObject()
        json.name("listening")
        json.beginArray()
        for address in listening { json.text(Text(address)) }
        json.endArray()
        json.name("failed")
        json.beginArray()
        for failure in failed {
            json.beginObject()
            json.member("address", Text(failure.address))
            json.member("reason", Text(failure.reason))
            json.endObject()
        }
        json.endArray()
        json.member("connections", connections)
        json.member("requests", servers.dropLast().reduce(0) { $0 + $1.requests })
        json.endObject()
        json.name("admin")
        json.beginObject()
        json.member("socket", Text(socket))
        json.endObject()
    }

    private static func occupied(_ error: SystemError, _ key: String) -> DaemonError {
        error.code == EADDRINUSE
            ? DaemonError(.unavailable, "\(error); stop the program that has it, or change \(key)")
            : DaemonError(.inputOutput, "\(error); change \(key)")
    }
}
