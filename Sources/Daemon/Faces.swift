internal import CoAPMessage
internal import CoAPServer
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
    /// All servers of CoAP.
    private(set) var coapServers: [CoAPServer] = []
    private var http = Addresses()
    private var coap = Addresses()
    private var socket = ""

    /// Opens the addresses for devices over HTTP.
    mutating func openHTTP(
        _ addresses: [ListenAddress], _ limits: ConnectionLimits, _ logger: Logger,
        _ handler: @escaping HTTPServer.Handler
    ) throws(DaemonError) {
        try http.open("http", addresses, logger) { address throws(SystemError) in
            let server = try HTTPServer(.tcp(host: address.host, port: address.port), limits: limits, handler)
            servers.append(server)
            return server.address
        }
    }

    /// Opens the addresses for devices over CoAP.
    mutating func openCoAP(
        _ addresses: [ListenAddress], _ resources: [CoAPResource], _ logger: Logger,
        _ handler: @escaping CoAPServer.Handler
    ) throws(DaemonError) {
        try coap.open("coap", addresses, logger) { address throws(SystemError) in
            let server = try CoAPServer(host: address.host, port: address.port, resources: resources, handler)
            coapServers.append(server)
            return server.address
        }
    }

    /// Opens the Unix socket for administrators.
    mutating func openAdmin(_ path: String, _ logger: Logger, _ handler: @escaping HTTPServer.Handler)
        throws(DaemonError)
    {
        do throws(SystemError) {
            let server = try HTTPServer(.unix(path: path), limits: nil, handler)
            socket = server.address
            servers.append(server)
        } catch { throw DaemonError(occupied: error, "[admin] socket") }
        logger.notice("administrators reach the hub at \(socket), not over the network")
    }

    /// Writes the members `http`, `coap` and `admin` of the status.
    func writeStatus(to json: inout JSONWriter, connections: Int) {
        json.name("http")
        json.beginObject()
        http.write(to: &json)
        json.member("connections", connections)
        json.member("requests", servers.dropLast().reduce(0) { $0 + $1.requests })
        json.endObject()
        json.name("coap")
        json.beginObject()
        coap.write(to: &json)
        json.member("requests", coapServers.reduce(0) { $0 + $1.requests })
        json.endObject()
        json.name("admin")
        json.beginObject()
        json.member("socket", Text(socket))
        json.endObject()
    }
}

/// The addresses of one face.
private struct Addresses {
    private var listening: [String] = []
    private var failed: [(address: String, reason: String)] = []

    /// Opens all; one that cannot be had is reported and no reason to stop, all of them are.
    ///
    /// - Parameters:
    ///   - face: its name, which is also its section of the configuration.
    ///   - addresses: none if the face is off.
    ///   - logger: takes a line for each.
    ///   - listen: opens one, and answers where it listens.
    mutating func open(
        _ face: String, _ addresses: [ListenAddress], _ logger: Logger,
        _ listen: (ListenAddress) throws(SystemError) -> String
    ) throws(DaemonError) {
        if addresses.isEmpty { logger.notice("\(face) is off: [\(face)] listen is empty") }
        for address in addresses {
            do throws(SystemError) {
                listening.append(try listen(address))
                logger.notice("\(face) listens on \(listening.last ?? ""), in clear")
            } catch {
                logger.warning("\(face) does not listen on \(address): \(error.reason)")
                failed.append((address.description, error.reason))
                if failed.count == addresses.count { throw DaemonError(occupied: error, "[\(face)] listen") }
            }
        }
    }

    /// Writes the members `listening` and `failed`.
    func write(to json: inout JSONWriter) {
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
    }
}

extension DaemonError {
    /// An address that the hub cannot do without, and the key that names it.
    fileprivate init(occupied error: SystemError, _ key: String) {
        self =
            error.code == EADDRINUSE
            ? DaemonError(.unavailable, "\(error); stop the program that has it, or change \(key)")
            : DaemonError(.inputOutput, "\(error); change \(key)")
    }
}
