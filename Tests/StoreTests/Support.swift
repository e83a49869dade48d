internal import Crypto
internal import EventLoop
internal import Glibc
internal import JSON
internal import Journal
internal import Provisioning
internal import TestSupport
internal import Testing

@testable internal import Store

/// The store of a directory; no test expects the disk to fail.
func openStore(_ directory: TemporaryDirectory, firstCompaction: Duration = .seconds(60)) throws -> Store {
    try Store(try StateDirectory.open(directory.path), firstCompaction: firstCompaction) { error in
        fatalError("\(error)")
    }
}

/// Why the state directory is refused; nil when it is not.
func refusal(_ path: String) -> StateError? {
    do throws(StateError) {
        _ = try StateDirectory.open(path)
        return nil
    } catch { return error }
}

func profile(
    _ id: Text, name: Text = "P", key: Text? = "key", window: RepeatWindow = .seconds(600), legacyFields: Bool = true
) -> DeviceProfile {
    var settings = ProfileSettings()
    settings.repeatWindow = window
    settings.legacyFields = legacyFields
    return DeviceProfile(
        id: id, name: name, createdTime: 1, strategy: .allowCreateNewDevices, provisionKey: key,
        provisionSecret: Secret(Array("secret".utf8)), settings: settings)
}

func device(_ id: Text, name: Text, token: Text, profile: Text = "p", isProvisioned: Bool = false) -> Device {
    Device(
        id: id, name: name, profile: profile, createdTime: 1, credentials: Credentials(type: .accessToken, id: token),
        provisioned: isProvisioned ? Device.Provisioned(via: "http", source: .hub) : nil)
}

/// A device or a profile as its log has it; nil when there is none.
func line(_ device: Device?) -> String? {
    guard let device else { return nil }
    var json = JSONWriter()
    var bare = device
    // Where it was first said to be provisioned is known once the line is read.
    bare.provisioned?.seq = nil
    bare.write(to: &json)
    return String(decoding: json.bytes, as: UTF8.self)
}

func line(_ profile: DeviceProfile?) -> String? {
    guard let profile else { return nil }
    var json = JSONWriter()
    profile.write(to: &json)
    return String(decoding: json.bytes, as: UTF8.self)
}

extension TemporaryDirectory {
    /// The permissions of a file in it, or of the directory itself.
    func permissions(_ name: String = ".") -> mode_t? {
        var info = stat()
        guard unsafe stat("\(path)/\(name)", &info) == 0 else { return nil }
        return info.st_mode & 0o777
    }
}

extension TemporaryDirectory {
    /// The bytes of a file in it.
    func bytes(_ name: String) throws -> [UInt8] {
        let file = try FileDescriptor.open("\(path)/\(name)", O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        bytes.removeSubrange(max(0, unsafe read(file.raw, &bytes, bytes.count))...)
        return bytes
    }

    /// Puts a file of the given bytes there, in place of one that is there.
    func put(_ bytes: [UInt8], _ name: String) throws {
        let file = try FileDescriptor.open("\(path)/\(name)", O_RDWR | O_CREAT | O_TRUNC)
        guard unsafe write(file.raw, bytes, bytes.count) == bytes.count else { throw SystemError("write", name) }
    }
}
