internal import CSSL
internal import EventLoop
internal import Glibc

/// What one connection checks the broker by: owner of an OpenSSL context.
///
/// libmosquitto could make one by itself, but would tell neither an expired certificate from one nobody vouches for, nor
/// anybody what is wrong with a file; and if a call that asks it for TLS fails, it goes on in clear.
@safe final class TLSContext {
    let handle: OpaquePointer

    /// A context for a broker of the given name or numeric address.
    init(_ tls: MQTTTLS, host: String) throws(MQTTTLSError) {
        guard let handle = unsafe SSL_CTX_new(TLS_client_method()) else {
            throw MQTTTLSError(path: "OpenSSL", reason: "cannot be set up")
        }
        unsafe self.handle = unsafe handle
        unsafe cssl_release_buffers(handle)
        guard unsafe cssl_require_tls12(handle) == 1, unsafe Self.setName(host, handle) else {
            throw MQTTTLSError(path: "OpenSSL", reason: "cannot be set up for \(host)")
        }
        unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, onVerify)
        if let file = tls.caFile { try load(file: file) } else { try load(directory: MQTTTLS.systemCertificates) }
    }

    deinit { unsafe SSL_CTX_free(handle) }

    /// Names the session that wants to hear why a certificate is refused; it must outlive the context's use.
    func setSession(_ session: UnsafeMutableRawPointer) -> Bool { unsafe SSL_CTX_set_ex_data(handle, 0, session) == 1 }

    /// The name or address that the certificate must be for; without a partial wildcard such as `a*.example`.
    private static func setName(_ host: String, _ handle: OpaquePointer) -> Bool {
        let parameters = unsafe SSL_CTX_get0_param(handle)
        // A zone, as in fe80::1%eth0, is nobody's business but this host's.
        let address = host.prefix { $0 != "%" }
        if unsafe X509_VERIFY_PARAM_set1_ip_asc(parameters, String(address)) == 1 { return true }
        unsafe X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        return unsafe X509_VERIFY_PARAM_set1_host(parameters, host, host.utf8.count) == 1
    }

    private func load(file: String) throws(MQTTTLSError) {
        try check(file, R_OK)
        ERR_clear_error()
        guard unsafe SSL_CTX_load_verify_file(handle, file) == 1 else {
            throw MQTTTLSError(path: file, reason: "no certificates in PEM")
        }
    }

    /// The certificates are looked up by their hash once they are needed: the whole bundle would take a megabyte.
    private func load(directory: String) throws(MQTTTLSError) {
        try check(directory, R_OK | X_OK, "; install ca-certificates or name a ca-file")
        guard unsafe SSL_CTX_load_verify_dir(handle, directory) == 1 else {
            throw MQTTTLSError(path: directory, reason: "cannot be used")
        }
    }

    private func check(_ path: String, _ access: CInt, _ advice: String = "") throws(MQTTTLSError) {
        do { try system("access", path) { unsafe Glibc.access(path, access) } } catch {
            throw MQTTTLSError(path: path, reason: error.reason + advice)
        }
    }
}

/// Called by OpenSSL for each certificate of the chain; decides nothing, but remembers the first refusal.
private func onVerify(_ isGood: CInt, _ store: OpaquePointer?) -> CInt {
    guard isGood == 0, let store = unsafe store,
        let ssl = unsafe X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
        let context = unsafe SSL_get_SSL_CTX(OpaquePointer(ssl)),
        let session = unsafe Session.at(SSL_CTX_get_ex_data(context, 0))
    else { return isGood }
    let code = unsafe X509_STORE_CTX_get_error(store)
    session.noteCertificate(
        unsafe X509_verify_cert_error_string(Int(code)).map { unsafe String(cString: $0) } ?? "unknown")
    return isGood
}
