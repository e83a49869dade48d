internal import EventLoop
internal import Glibc
internal import Store
internal import Synchronization
internal import TestSupport
internal import Testing

@Suite("The state directory")
struct StateDirectoryTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func `a new one is for its owner only, and its files too`() throws {
        let path = "\(directory.path)/state"
        defer { remove(path) }
        do {
            let state = try StateDirectory.open(path)
            let absolute = state.path
            #expect(absolute == path)
            #expect(directory.permissions("state") == 0o700)
            #expect(directory.permissions("state/lock") == 0o600)
            let store = try Store(state) { error in fatalError("\(error)") }
            #expect(directory.permissions("state/profiles.jsonl") == 0o600)
            #expect(directory.permissions("state/devices.jsonl") == 0o600)
            #expect(store.path == path)
        }
        for name in ["profiles.jsonl", "devices.jsonl"] { unsafe unlink("\(path)/\(name)") }
    }

    @Test func `it is locked for one hub, whose pid the other one is told`() throws {
        do {
            let first = try StateDirectory.open(directory.path)
            let error = try #require(refusal(directory.path))
            guard case .busy = error.kind else {
                Issue.record("\(error)")
                return
            }
            #expect(error.description == "another nearhub (pid \(getpid())) uses \(directory.path); stop it first")
            let path = first.path
            #expect(path == directory.path)
        }
        #expect(refusal(directory.path) == nil)
    }

    /// Between fork and exec a process that somebody starts meanwhile has the descriptor of the lock too.
    @Test func `nobody holds the lock for a hub that has ended`() throws {
        let spawning = Spawning()
        try startThread("spawn") { spawning.run() }
        defer { spawning.isOver.store(true, ordering: .relaxed) }
        let deadline = Duration.monotonic + .seconds(2)
        while .monotonic < deadline { try #require(refusal(directory.path) == nil) }
    }

    @Test(arguments: [0o701, 0o710, 0o770, 0o704, 0o720, 0o777] as [mode_t])
    func `others may do nothing in it`(mode: mode_t) throws {
        unsafe chmod(directory.path, mode)
        defer { unsafe chmod(directory.path, 0o700) }
        let error = try #require(refusal(directory.path))
        #expect(error.description == "\(directory.path) is open to other users; run: chmod 700 \(directory.path)")
        #expect(directory.names.isEmpty)
    }

    @Test(arguments: ["lock", "profiles.jsonl", "devices.jsonl"])
    func `others may do nothing with its files`(name: String) throws {
        try directory.touch(name)
        let path = "\(directory.path)/\(name)"
        unsafe chmod(path, 0o640)
        let error = try #require(refusal(directory.path))
        #expect(error.description == "\(path) is open to other users; run: chmod 600 \(path)")
        unsafe chmod(path, 0o400)
        if name != "lock" { #expect(refusal(directory.path) == nil) }
    }

    @Test(arguments: ["lock", "profiles.jsonl", "devices.jsonl"])
    func `links stand for no file`(name: String) throws {
        try directory.touch("elsewhere")
        unsafe symlink("\(directory.path)/elsewhere", "\(directory.path)/\(name)")
        let error = try #require(refusal(directory.path))
        #expect(error.description == "\(directory.path)/\(name) is not a regular file")
    }

    @Test func `a file is no directory, and a directory nobody can make is refused with advice`() throws {
        try directory.touch("file")
        #expect(refusal("\(directory.path)/file")?.description == "\(directory.path)/file is not a directory")
        let missing = "\(directory.path)/no/state"
        #expect(
            refusal(missing)?.description
                == "mkdir \(missing): No such file or directory; give another directory with --state")
    }

    @Test func `the parent may be a symbolic link, at the first start too`() throws {
        let link = "\(directory.path)/link"
        unsafe symlink(directory.path, link)
        defer { remove("\(directory.path)/state") }
        #expect(refusal("\(link)/state") == nil)
        #expect(directory.permissions("state") == 0o700)
        #expect(refusal("\(link)/state") == nil)
    }

    @Test func `a slash at the end does no harm`() throws {
        defer { remove("\(directory.path)/state") }
        let state = try StateDirectory.open("\(directory.path)/state/")
        let path = state.path
        #expect(path == "\(directory.path)/state")
    }

    private func remove(_ path: String) {
        unsafe unlink("\(path)/lock")
        unsafe rmdir(path)
    }
}

/// Starts one process after the other.
private final class Spawning: Sendable {
    let isOver = Atomic(false)

    func run() {
        while !isOver.load(ordering: .relaxed) {
            var process: pid_t = 0
            let name = unsafe strdup("/bin/true")
            defer { unsafe free(name) }
            var arguments = unsafe [name, nil]
            guard unsafe posix_spawn(&process, "/bin/true", nil, nil, &arguments, environ) == 0 else { return }
            waitpid(process, nil, 0)
        }
    }
}
