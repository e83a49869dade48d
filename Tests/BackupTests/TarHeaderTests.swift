internal import Testing

@testable internal import Backup

@Suite("Headers of tar archives")
struct TarHeaderTests {
    @Test(arguments: [0, 1, 511, 512, 513, 1 << 33 - 1]) func `what is written is read back`(size: UInt64) throws {
        let header = TarHeader(file: "devices.jsonl", size: size)
        let block = header.bytes(time: 1_770_000_000)
        #expect(block.count == 512)
        #expect(TarHeader(block) == header)
        #expect((size + UInt64(header.padding)) % 512 == 0)
        #expect(header.padding < 512)
    }

    @Test func `a flipped bit anywhere but in the padding of the sum is found, or is not the name, size or type`() {
        let header = TarHeader(file: "devices.jsonl", size: 4711)
        let block = header.bytes(time: 1_770_000_000)
        for bit in 0..<(512 * 8) {
            var flipped = block
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            if let read = TarHeader(flipped) { #expect(read == header) }
        }
    }

    @Test func `names of long paths have their first part in the prefix`() throws {
        var block = TarHeader(file: "devices.jsonl", size: 0).bytes(time: 0)
        for (index, byte) in "../..".utf8.enumerated() { block[345 + index] = byte }
        let sum = block.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
        for (index, byte) in ("0" + String(sum, radix: 8)).utf8.enumerated() { block[148 + index] = byte }
        #expect(TarHeader(block)?.name == "../../devices.jsonl")
    }

    @Test func `what is no header is none`() {
        #expect(TarHeader([]) == nil)
        #expect(TarHeader([UInt8](repeating: 0, count: 512)) == nil)
        #expect(TarHeader([UInt8](repeating: 0xFF, count: 512)) == nil)
        #expect(TarHeader([UInt8](repeating: 0x37, count: 512)) == nil)
    }
}
