internal import EventLoop
internal import Glibc

/// The place of a state directory that is to be made, and the draft beside it.
struct Place {
    /// Where it will be.
    let path: String
    /// Where it is until it is whole.
    let draft: String

    init(_ directory: String) {
        var path = directory
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.path = absolutePath(path)
        draft = self.path + ".restoring"
    }

    /// Whose the files will be: the owner of the empty directory that is there, if we may decide that.
    ///
    /// - Throws: when there is something in it.
    func owner() throws(BackupError) -> (user: uid_t, group: gid_t)? {
        var info = stat()
        guard unsafe lstat(path, &info) == 0 else {
            let error = SystemError("stat", path)
            if error.code == ENOENT { return nil }
            throw BackupError(error)
        }
        guard info.st_mode & S_IFMT == Glibc.S_IFDIR else { throw BackupError(.refused, "\(path) is not a directory") }
        guard try orFail({ () throws(SystemError) in try isEmpty() }) else {
            throw BackupError(
                .refused,
                "\(path) is not empty; stop the hub and move the old state away, or name another directory with --state"
            )
        }
        return geteuid() == 0 ? (info.st_uid, info.st_gid) : nil
    }

    /// Makes the draft, empty; one that was left behind goes.
    ///
    /// Only a directory of our own is emptied: through a link of somebody else the files of a hub would go.
    func begin(_ owner: (user: uid_t, group: gid_t)?) throws(SystemError) {
        var info = stat()
        if unsafe lstat(draft, &info) == 0, info.st_mode & S_IFMT == Glibc.S_IFDIR,
            info.st_uid == geteuid() || info.st_uid == owner?.user
        {
            discard()
        }
        try system("mkdir", draft) { unsafe mkdir(draft, 0o700) }
        let folder = try ByteFile(draft, O_RDONLY | O_DIRECTORY)
        try folder.permit(0o700)
        try folder.give(to: owner)
    }

    /// Puts the draft into its place, durably.
    ///
    /// - Throws: then there is nothing in the place, unless the error says that the state is there.
    func finish() throws(BackupError) {
        do throws(SystemError) {
            try syncDirectory(draft)
            try system("rename", draft) { unsafe rename(draft, path) }
        } catch {
            switch error.code {
            case ENOTEMPTY, EEXIST:
                throw BackupError(.refused, "\(path) is not empty any more; stop the hub, and see what is in it")
            case EBUSY:
                throw BackupError(.refused, "\(path) is a mount point; name a directory below it with --state")
            default: throw BackupError(error)
            }
        }
        do { try syncDirectory(parent(of: path)) } catch {
            throw BackupError(
                .inputOutput,
                "\(error): the state is restored in \(path), but a power cut may take it away; see to the disk first")
        }
    }

    /// Removes the draft and what we may have put into it.
    func discard() {
        for name in StateFile.allCases {
            unsafe unlink("\(draft)/\(name.rawValue)")
            unsafe unlink("\(draft)/\(name.rawValue).damaged-0")
        }
        unsafe rmdir(draft)
    }

    private func isEmpty() throws(SystemError) -> Bool {
        guard let stream = unsafe opendir(path) else { throw SystemError("open", path) }
        defer { unsafe closedir(stream) }
        var count = 0
        while unsafe readdir(stream) != nil { count += 1 }
        return count <= 2
    }
}
