internal import CLinux
public import EventLoop
internal import Glibc

/// Why the state directory cannot be used; says what to do.
public struct StateError: Error, CustomStringConvertible {
    /// What stands in the way.
    public enum Kind: Sendable {
        /// Somebody else could read or change it.
        case exposed
        /// Another hub uses it.
        case busy
        /// The system refused.
        case system(SystemError)
    }

    /// What stands in the way.
    public let kind: Kind
    /// One line for people.
    public let description: String
}

extension StateError {
    /// What the system refused on the directory or a file in it, with what helps.
    fileprivate init(refused error: SystemError, _ directory: String) {
        kind = .system(error)
        description =
            switch error.code {
            case EACCES, EPERM: "\(error); only root and \(owner(of: directory)) may do this; try again with sudo"
            case ENOENT, ENOTDIR: "\(error); name the state directory with --state"
            default: "\(error)"
            }
    }
}

/// Whose a directory is, such as `the user nearhub`.
private func owner(of path: String) -> String {
    var info = stat()
    guard unsafe lstat(path, &info) == 0 else { return "the hub's own user" }
    guard let user = unsafe getpwuid(info.st_uid) else { return "uid \(info.st_uid)" }
    return unsafe "the user \(String(cString: user.pointee.pw_name))"
}

/// The directory with all that the hub must remember, locked for one process.
public struct StateDirectory: ~Copyable {
    /// Where it is, absolute.
    public let path: String
    private let lock: FileDescriptor

    private init(path: String, lock: consuming FileDescriptor) {
        self.path = path
        self.lock = lock
    }

    /// A process that is started meanwhile holds the descriptor too until it executes its program, and with it the lock.
    deinit { flock(lock.raw, LOCK_UN) }

    /// Opens the directory, makes it if it is not there, and locks it (flock(2)).
    ///
    /// - Throws: when others could read it or its logs, when it belongs to somebody else, when another hub uses it.
    public static func open(_ path: String) throws(StateError) -> StateDirectory {
        let given = withoutSlashes(path)
        do {
            if try make(given) { try sync(parentOf: given) }
        } catch { throw StateError(kind: .system(error), description: "\(error); give another directory with --state") }
        try check(given)
        let path = absolutePath(given)
        let lock: FileDescriptor
        do { lock = try FileDescriptor.open(path + "/lock", O_RDWR | O_CREAT) } catch {
            throw StateError(kind: .system(error), description: "\(error)")
        }
        guard flock(lock.raw, LOCK_EX | LOCK_NB) == 0 else {
            let why = "another nearhub (pid \(holder(lock.raw))) uses \(path); stop it first"
            throw StateError(kind: .busy, description: why)
        }
        write(pid: getpid(), to: lock.raw)
        return StateDirectory(path: path, lock: lock)
    }

    /// Checks the directory's owner and permissions, and those of the files in it; changes nothing.
    public static func check(_ path: String) throws(StateError) {
        let path = withoutSlashes(path)
        try checkPrivate(path, isDirectory: true)
        for name in ["lock"] + logs { try checkPrivate("\(path)/\(name)", isDirectory: false) }
    }

    /// Checks that it is there and that its logs can be read, whoever else can; for looking at a copy.
    public static func checkReadable(_ path: String) throws(StateError) {
        let path = withoutSlashes(path)
        for name in [path + "/."] + logs.map({ "\(path)/\($0)" }) where unsafe access(name, R_OK) != 0 {
            let error = SystemError("open", name.hasSuffix("/.") ? path : name)
            if error.code != ENOENT || error.subject == path { throw StateError(refused: error, path) }
        }
    }

    private static let logs = ["profiles.jsonl", "devices.jsonl", "upstream.jsonl", "admin.jsonl"]

    /// Makes a process of root one of the user to whom the directory belongs, for good; changes nothing for others.
    ///
    /// For commands that root runs on a hub's state, before they open anything in it: what they make is the hub's, and
    /// what the hub's user has put there, such as a symbolic link, leads nowhere that this user may not go himself.
    /// The group is the user's own (passwd(5)), or the directory's if the user is not known.
    ///
    /// - Throws: when the system refuses, such as in a container without CAP_SETUID; do not go on then.
    public static func actAsOwner(of path: String) throws(StateError) {
        var info = stat()
        guard geteuid() == 0, unsafe lstat(withoutSlashes(path), &info) == 0, info.st_mode & S_IFMT == S_IFDIR,
            info.st_uid != 0
        else { return }
        do { try become(info.st_uid, unsafe getpwuid(info.st_uid)?.pointee.pw_gid ?? info.st_gid) } catch {
            let why = "\(path) belongs to uid \(info.st_uid), whose rights cannot be taken on: \(error)"
            throw StateError(kind: .system(error), description: "\(why); run the command as this user")
        }
    }
}

/// Takes on a user's rights and gives up root's (setuid(2)), without a way back.
private func become(_ user: uid_t, _ group: gid_t) throws(SystemError) {
    try system("setgroups") { setgroups(0, nil) }
    try system("setgid", "\(group)") { setgid(group) }
    try system("setuid", "\(user)") { setuid(user) }
    guard getuid() == user, geteuid() == user, getegid() == group, setuid(0) == -1 else {
        throw SystemError("setuid", "\(user)", code: EPERM)
    }
}

/// The path without slashes at its end, behind which a symbolic link would go unnoticed.
private func withoutSlashes(_ path: String) -> String {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
}

/// Makes the directory; false when it was there.
private func make(_ path: String) throws(SystemError) -> Bool {
    do { try system("mkdir", path) { unsafe mkdir(path, 0o700) } } catch {
        if error.code == EEXIST { return false }
        throw error
    }
    return true
}

private func sync(parentOf path: String) throws(SystemError) {
    let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
    let parent = trimmed.lastIndex(of: "/").map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
    // The dot lets the parent be a symbolic link.
    let directory = try FileDescriptor.open("\(parent)/.", O_RDONLY | O_DIRECTORY)
    let raw = directory.raw
    try system("fsync", parent) { fsync(raw) }
}

private func checkPrivate(_ path: String, isDirectory: Bool) throws(StateError) {
    var info = stat()
    guard unsafe lstat(path, &info) == 0 else {
        let error = SystemError("stat", path)
        if error.code == ENOENT && !isDirectory { return }
        throw StateError(
            refused: error, isDirectory ? path : String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]))
    }
    func refuse(_ why: String) -> StateError { StateError(kind: .exposed, description: "\(path) \(why)") }
    let wanted = isDirectory ? Glibc.S_IFDIR : Glibc.S_IFREG
    guard info.st_mode & S_IFMT == wanted else {
        throw refuse("is not a \(isDirectory ? "directory" : "regular file")")
    }
    guard info.st_uid == geteuid() else { throw refuse("belongs to uid \(info.st_uid), the hub runs as \(geteuid())") }
    guard info.st_mode & 0o077 == 0 else {
        throw refuse("is open to other users; run: chmod \(isDirectory ? "700" : "600") \(path)")
    }
}

private func holder(_ lock: CInt) -> String {
    var text = [UInt8](repeating: 0, count: 16)
    let count = unsafe pread(lock, &text, text.count, 0)
    return String(decoding: text.prefix(max(count, 0)).prefix { $0 > 0x20 }, as: UTF8.self)
}

private func write(pid: pid_t, to lock: CInt) {
    let text = Array("\(pid)\n".utf8)
    ftruncate(lock, 0)
    _ = unsafe pwrite(lock, text, text.count, 0)
}
