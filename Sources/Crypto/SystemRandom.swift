internal import CLinux
internal import Glibc

/// Random numbers from the kernel (getrandom(2)), fetched 4 KiB at a time.
public struct SystemRandom: RandomNumberGenerator {
    private var pool: [UInt64] = []
    private var left = 0

    /// An empty pool.
    public init() {}

    /// Eight random bytes.
    public mutating func next() -> UInt64 {
        if left == 0 { fill() }
        left -= 1
        // A number that was given out is kept no longer.
        defer { pool[left] = 0 }
        return pool[left]
    }

    private mutating func fill() {
        if pool.isEmpty { pool = Array(repeating: 0, count: 512) }
        var done = 0
        while done < 4096 {
            let got = unsafe pool.withUnsafeMutableBytes {
                unsafe getrandom($0.baseAddress.map { unsafe $0 + done }, $0.count - done, 0)
            }
            if got > 0 { done += got } else { precondition(errno == EINTR, "getrandom(2) failed") }
        }
        left = pool.count
    }
}

extension RandomNumberGenerator {
    /// Characters from [A-Za-z0-9], evenly distributed; 20 of them carry 119 bits.
    public mutating func alphanumerics(_ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            var bits = next()
            // Six bits at a time; 62 and 63 are thrown away, which keeps the choice even.
            for _ in 0..<10 where result.count < count {
                let index = UInt8(truncatingIfNeeded: bits & 63)
                bits >>= 6
                if index < 62 { result.append(alphanumeric(index)) }
            }
        }
        return result
    }

    /// A random UUID (RFC 9562, version 4) in its usual 36 characters.
    public mutating func uuid() -> [UInt8] {
        let high = next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
        let low = next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        var result: [UInt8] = []
        result.reserveCapacity(36)
        for index in 0..<32 {
            if index == 8 || index == 12 || index == 16 || index == 20 { result.append(UInt8(ascii: "-")) }
            let half = index < 16 ? high : low
            result.append(hexDigit(UInt8(truncatingIfNeeded: half >> UInt64(60 - 4 * (index % 16))) & 15))
        }
        return result
    }
}

/// The character of 0 to 61; without branches, which random numbers would mislead each time.
private func alphanumeric(_ index: UInt8) -> UInt8 {
    let isBehindCapitals: UInt8 = index > 25 ? 1 : 0
    let isDigit: UInt8 = index > 51 ? 1 : 0
    return UInt8(ascii: "A") &+ index &+ 6 &* isBehindCapitals &- 75 &* isDigit
}
