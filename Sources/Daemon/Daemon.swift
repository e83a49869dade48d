internal import CLinux
internal import Configuration
internal import EventLoop
internal import Glibc
internal import JSON
internal import Logging
internal import Store
internal import Upstream

/// The hub's life: the only part that knows everybody.
public enum Daemon {
    /// Runs the hub until SIGTERM or SIGINT.
    ///
    /// - Parameter options: what the command line says.
    /// - Returns: how the program ends; why is on standard error.
    public static func serve(_ options: ServeOptions) -> ExitStatus {
        var logger = Logger(label: "nearhub") { _ in JournalLogHandler() }
        do throws(DaemonError) {
            let configuration = try options.configuration()
            logger.logLevel = configuration.log.level.forLogger
            Process.harden()
            try Hub(options, configuration, logger).run()
            return .done
        } catch {
            logger.log(level: error.status == .done ? .notice : .critical, "\(error)")
            return error.status
        }
    }

    /// Checks configuration and state as a start would, and changes nothing.
    ///
    /// A process of root becomes one of the state directory's owner, once it has read the configuration.
    ///
    /// - Parameters:
    ///   - options: what the command line says.
    ///   - copy: whether the state is not the hub's own, so that others may be able to read it.
    ///   - progress: takes how far it is.
    /// - Returns: one line for people for each thing that is fine.
    /// - Throws: the first thing that is not.
    public static func check(
        _ options: ServeOptions, copy: Bool = false, progress: ProgressWatch = { _, _, _ in }
    ) throws(DaemonError) -> [String] {
        let configuration = try options.configuration()
        let state = options.state(configuration)
        do throws(StateError) { try StateDirectory.actAsOwner(of: state) } catch { throw DaemonError(error) }
        if let broker = configuration.mqtt.url {
            _ = try configuration.mqttLogin()
            _ = try configuration.mqttTLS(broker)
        }
        _ = try Upstream.Plan(configuration, hub: "")
        var lines = ["configuration: \(options.file ?? "all defaults")"]
        guard unsafe access(state, F_OK) == 0 || errno != ENOENT else {
            return lines + ["state: \(state) is not there yet, the first start makes it"]
        }
        do throws(StateError) { try StateDirectory.checkReadable(state) } catch { throw DaemonError(error) }
        do {
            let found = try Store.inspect(state, watch: { tell(progress, $0) })
            lines += found.logs.map { "state: \($0.recovery)" }
            lines.append("state: \(found.profiles) profiles, \(found.devices) devices")
        } catch { throw DaemonError(error) }
        do throws(StateError) { try StateDirectory.check(state) } catch {
            guard copy else { throw DaemonError(error) }
            lines.append("state: good as a copy, but no hub starts on it as it is: \(error)")
        }
        return lines
    }

    /// The Unix socket of the administrator.
    public static func socket(_ options: ServeOptions) throws(DaemonError) -> String {
        try options.configuration().admin.socket
    }

    /// Where everything is.
    ///
    /// - Parameter options: what the command line says.
    /// - Returns: names with their paths.
    public static func paths(_ options: ServeOptions) throws(DaemonError) -> [(name: String, path: String)] {
        let configuration = try options.configuration()
        let state = absolutePath(options.state(configuration))
        return [
            ("configuration", absolutePath(options.file ?? Configuration.defaultFile)), ("state", state),
            ("profiles", state + "/profiles.jsonl"), ("devices", state + "/devices.jsonl"),
            ("upstream", state + "/upstream.jsonl"), ("admin", state + "/admin.jsonl"),
            ("audit", state + "/audit.jsonl"),
            ("socket", absolutePath(configuration.admin.socket)),
        ]
    }
}

/// What a process does for its own safety before it holds secrets.
enum Process {
    static func harden() {
        umask(0o077)
        // A file that reaches the limit of its size is a full disk, not a reason to die (setrlimit(2)).
        _ = signal(SIGXFSZ, SIG_IGN)
        // Whatever is opened next must not become standard error, into which log lines go.
        while true {
            let file = unsafe open("/dev/null", O_RDWR)
            guard (0...2).contains(file) else {
                if file > 2 { close(file) }
                break
            }
        }
        // No core file and no debugger of the same user may show secrets.
        _ = clinux_forbid_dumps()
        // Each further malloc arena would cost memory for nothing: one thread allocates.
        _ = mallopt(M_ARENA_MAX, 1)
        // Small pieces of many requests are in use at once: they are found fastest up to 160 bytes, which is the most.
        _ = mallopt(M_MXFAST, 160)
        var limit = rlimit()
        guard unsafe getrlimit(openFiles, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        unsafe setrlimit(openFiles, &limit)
    }

    /// How many files and sockets are kept for the hub itself and its administrators.
    static let ownFiles = 64

    /// How many connections fit beside those; not positive when the process may not even open so many.
    static var connectionRoom: Int {
        var limit = rlimit()
        guard unsafe getrlimit(openFiles, &limit) == 0 else { return .max }
        return Int(clamping: limit.rlim_cur) - ownFiles
    }

    private static var openFiles: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_NOFILE.rawValue) }
}
