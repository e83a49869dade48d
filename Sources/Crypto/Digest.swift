internal import CCrypto

/// Hashes and message authentication codes, by OpenSSL's libcrypto.
public enum Digest {
    /// SHA3-256 (FIPS 202), as 64 lower-case hexadecimal digits: the form of ThingsBoard's credentials ids.
    public static func sha3Hex(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        var size = UInt32(digest.count)
        let done = unsafe EVP_Digest(bytes, bytes.count, &digest, &size, EVP_sha3_256(), nil)
        precondition(done == 1, "libcrypto without SHA3-256")
        return digest.flatMap { [hexDigit($0 >> 4), hexDigit($0 & 15)] }
    }

    /// HMAC-SHA256 (RFC 2104), 32 bytes.
    public static func hmac(key: [UInt8], message: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: 32)
        var size = UInt32(code.count)
        let done = unsafe HMAC(EVP_sha256(), key, Int32(clamping: key.count), message, message.count, &code, &size)
        precondition(unsafe done != nil, "libcrypto without HMAC-SHA256")
        return code
    }
}

/// The lower-case hexadecimal digit of 0 to 15; without a branch, which random numbers would mislead.
func hexDigit(_ value: UInt8) -> UInt8 {
    let isLetter: UInt8 = value > 9 ? 1 : 0
    return UInt8(ascii: "0") &+ value &+ 39 &* isLetter
}

extension Digest {
    /// The library that computes, and its version at run time.
    public static var library: (name: String, version: String) {
        let words = unsafe String(cString: OpenSSL_version(OPENSSL_VERSION)).split(separator: " ")
        return ("OpenSSL", words.count > 1 ? String(words[1]) : "?")
    }
}
