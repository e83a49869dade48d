internal import Glibc

/// The limit of the size that files of this process may have (setrlimit(2)): a disk that is full at a chosen byte.
///
/// It holds for the whole process, so only exit tests may use it.
public enum FileSizeLimit {
    /// Lets no file grow beyond the given size; nil lifts the limit.
    public static func set(_ bytes: UInt64?) {
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: rlim_t(bytes ?? .max), rlim_max: .max)
        let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
        guard unsafe setrlimit(resource, &limit) == 0 else { fatalError("setrlimit: \(errno)") }
    }
}
