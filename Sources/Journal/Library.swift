internal import CXXHash

extension Log {
    /// The library that makes checksums, and its version at run time.
    public static var library: (name: String, version: String) {
        let number = XXH_versionNumber()
        return ("xxHash", "\(number / 10000).\(number / 100 % 100).\(number % 100)")
    }
}
