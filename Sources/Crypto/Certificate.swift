internal import CCrypto
internal import Glibc

/// What people want to know of an X.509 certificate (RFC 5280).
public struct Certificate: Hashable, Sendable {
    /// The subject on one line, such as `/O=Site 7/CN=meter-1`; control characters are escaped.
    public let subject: String
    /// The end of its validity, such as `2027-01-31T12:00:00Z`.
    public let notAfter: String

    /// Reads a certificate in DER; nil when it is none.
    public init?(der: [UInt8]) {
        let certificate = unsafe der.withUnsafeBufferPointer { buffer in
            var start = buffer.baseAddress
            return unsafe d2i_X509(nil, &start, buffer.count)
        }
        guard let certificate = unsafe certificate else { return nil }
        defer { unsafe X509_free(certificate) }
        var line = [CChar](repeating: 0, count: 512)
        guard let name = unsafe X509_get_subject_name(certificate),
            unsafe X509_NAME_oneline(name, &line, Int32(line.count)) != nil
        else { return nil }
        var time = unsafe tm()
        guard unsafe ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) == 1 else { return nil }
        subject = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        var text = [CChar](repeating: 0, count: 32)
        let count = unsafe strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &time)
        notAfter = String(decoding: text.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// Whether the bytes are a private key in DER, of any kind that libcrypto knows (d2i_AutoPrivateKey(3)).
public func isPrivateKey(der: [UInt8]) -> Bool {
    let key = unsafe der.withUnsafeBufferPointer { buffer in
        var start = buffer.baseAddress
        return unsafe d2i_AutoPrivateKey(nil, &start, buffer.count)
    }
    guard let key = unsafe key else { return false }
    unsafe EVP_PKEY_free(key)
    return true
}
