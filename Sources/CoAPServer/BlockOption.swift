/// A Block1 or Block2 option: which piece of a body this is, and how large pieces are (RFC 7959 section 2.2).
struct BlockOption: Hashable, Sendable {
    /// The largest block: the exponent 7 is reserved.
    static let largest: UInt8 = 6

    /// The number of the block, below 2^20.
    let number: UInt32
    /// Whether more blocks follow.
    let more: Bool
    /// The size is 16 bytes times two to the power of this, 0 to 6.
    let exponent: UInt8

    init(number: UInt32, more: Bool, exponent: UInt8) {
        self.number = number
        self.more = more
        self.exponent = exponent
    }

    /// Reads an option's value; nil for one of over three bytes or with the reserved exponent.
    init?(_ value: some Collection<UInt8>) {
        guard value.count <= 3 else { return nil }
        let bits = value.reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
        guard bits & 7 <= UInt32(Self.largest) else { return nil }
        self.init(number: bits >> 4, more: bits & 8 != 0, exponent: UInt8(bits & 7))
    }

    /// Bytes of a block, 16 to 1024.
    var size: Int { 16 << Int(exponent) }
    /// Where the block begins in the body; below 2^30, so that it cannot overflow.
    var offset: Int { Int(number) * size }
    /// The option's value as a number.
    var bits: UInt32 { number << 4 | (more ? 8 : 0) | UInt32(exponent) }
}
