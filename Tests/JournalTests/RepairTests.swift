internal import EventLoop
internal import Glibc
internal import JSON
internal import TestSupport
internal import Testing

@testable internal import Journal

@Suite("Repair of a log")
struct RepairTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func repair(_ bytes: [UInt8]) throws -> (done: Log.Repaired, asides: [SetAside]) {
        try directory.put(bytes)
        var asides: [SetAside] = []
        let done = try Log.repair(
            directory: directory.path, name: "devices", fault: { _ in nil }, setAside: { asides.append($0) },
            progress: { _, _ in })
        return (done, asides)
    }

    @Test func `each bad line is left out, all others stay byte for byte, and numbers are not used again`() throws {
        for (index, place) in twelve.lines.enumerated() {
            var bytes = twelve.bytes
            bytes[place.start + 20] ^= 4
            let (done, asides) = try repair(bytes)
            let kept = try #require(done.kept)
            #expect(try directory.bytes(String(kept.dropFirst(directory.path.count + 1))) == bytes)
            unsafe unlink(kept)
            #expect(asides.map(\.line) == [UInt64(index + 1)] && asides.map(\.offset) == [UInt64(place.start)])
            #expect(asides.map(\.seq) == [index == 0 ? nil : UInt64(index)])
            let fresh = try directory.bytes()
            for (other, line) in twelve.lines.enumerated() where other > 0 {
                let text = twelve.bytes[line.start..<line.end]
                let isThere = fresh.indices.contains { fresh[$0...].starts(with: text) }
                #expect(isThere == (other != index))
            }
            let (log, recovery, seqs) = try open(directory)
            #expect(seqs == (1...12).filter { $0 != index })
            #expect(recovery.torn == nil && recovery.rewrittenFrom == nil)
            #expect(log.seq == (index == 12 ? 11 : 12))
        }
    }

    @Test func `lines that were doubled or moved come into order`() throws {
        let lines = twelve.lines.map { Array(twelve.bytes[$0.start..<$0.end]) }
        let (done, asides) = try repair(Array((lines[0...3] + [lines[3], lines[6], lines[5]] + lines[7...]).joined()))
        #expect(done.records == 11 && asides.map(\.seq) == [3])
        #expect(try open(directory).seqs == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12])
    }

    @Test func `a log without its head gets a new one`() throws {
        _ = try repair(Array(twelve.bytes.dropFirst(head.count)))
        #expect(try open(directory).seqs == Array(1...12))
    }

    @Test func `a number that only a witness knows is not used again`() throws {
        let (done, asides) = try repair(head + record(1, durable: 0) + line(#""mark":"sync","durable":40,"settled":7"#))
        #expect(done.records == 1 && asides.isEmpty)
        let (log, _, seqs) = try open(directory)
        #expect(seqs == [1] && log.seq == 40 && log.settled == 7)
        let journal = try journal([log])
        try log.put("next")
        try journal.flush()
        #expect(try open(directory).seqs == [1, 41])
    }

    @Test func `a log of a newer nearhub is not touched`() throws {
        let bytes = head + record(1, durable: 0) + line(#""mark":"future""#) + [0x0A]
        #expect(throws: JournalError.self) { try repair(bytes) }
        #expect(try directory.bytes() == bytes)
        #expect(directory.names == ["devices.jsonl"])
    }

    @Test func `a repaired log can be damaged and repaired again`() throws {
        var bytes = twelve.bytes
        bytes[twelve.lines[4].start + 30] ^= 1
        #expect(try repair(bytes).done.kept?.hasSuffix(".damaged-0") == true)
        bytes = try directory.bytes()
        bytes[bytes.count - 100] ^= 1
        let again = try repair(bytes)
        #expect(again.done.kept?.hasSuffix(".damaged-1") == true)
        #expect(String(decoding: try directory.bytes(), as: UTF8.self).contains(#""gen":3"#))
        _ = try open(directory)
    }

    @Test func `what is told of a line holds no more than number and id`() throws {
        let id = "2f1c0a4e-0b5d-4a53-9a3e-7f7d5e0c1b2a"
        let prefix = #"{"seq":7,"durable":6,"at":"2026-11-24T16:20:22.123Z","op":"put","#
        for (text, seq, found) in [
            (prefix + #""device":{"id":"\#(id)","name":"secret""#, 7, id),
            (prefix + #""profile":{"id":{"entityType":"DEVICE_PROFILE","id":"\#(id)"},"x":"secret""#, 7, id),
            (prefix + #""device":{"iD":"\#(id)","id":"\#(id)""#, 7, nil),
            (prefix + #""device":{"id":"\#(id.dropLast())S","name":"secret""#, 7, nil),
            (prefix + #""device":{"id":"2f1c"#, 7, nil), (#"secret"#, nil, nil), (#"{"seq":,"#, nil, nil),
        ] as [(String, UInt64?, String?)] {
            let aside = try #require(try repair(head + Array(text.utf8) + [0x0A]).asides.first)
            #expect(aside.seq == seq && aside.id == found)
            #expect(!aside.description.contains("secret"))
        }
    }
}
