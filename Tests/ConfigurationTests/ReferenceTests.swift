import Configuration
import Glibc
import Testing

@Suite("Configuration reference")
struct ReferenceTests {
    @Test func `etc/nearhub.conf is the reference, character by character`() throws {
        #expect(try String(decoding: shipped(), as: UTF8.self) == Configuration.reference)
    }

    @Test func `etc/nearhub.conf as shipped changes no default`() throws {
        #expect(
            try Configuration.load(file: shippedPath, overrides: []) == Configuration.load(file: nil, overrides: []))
    }

    @Test func `every commented key, once uncommented, is its default`() throws {
        var section = ""
        var overrides: [String] = []
        for line in Configuration.reference.split(separator: "\n") {
            if line.hasPrefix("[") { section = String(line.dropFirst().dropLast()) }
            guard line.hasPrefix("#"), !line.hasPrefix("# "), line != "#" else { continue }
            let sides = line.dropFirst().split(separator: " =", maxSplits: 1, omittingEmptySubsequences: false)
            overrides.append("\(section).\(sides[0])=\(sides[1].drop { $0 == " " })")
        }
        #expect(overrides.count == 29)
        #expect(
            try Configuration.load(file: nil, overrides: overrides) == Configuration.load(file: nil, overrides: []))
    }

    @Test func `no line is wider than a terminal likes`() {
        #expect(Configuration.reference.split(separator: "\n").allSatisfy { $0.utf8.count < 100 })
    }
}

/// etc/nearhub.conf of the repository this test is compiled in.
private let shippedPath: String = {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    return "/\(root)/etc/nearhub.conf"
}()

private func shipped() throws -> [UInt8] {
    let descriptor = unsafe open(shippedPath, O_RDONLY | O_CLOEXEC)
    try #require(descriptor >= 0, "\(shippedPath) is missing")
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 65536)
    let count = unsafe read(descriptor, &bytes, bytes.count)
    try #require(count >= 0)
    return Array(bytes.prefix(count))
}
