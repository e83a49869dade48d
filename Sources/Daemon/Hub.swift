internal import AdminAPI
internal import Audit
internal import CoAPServer
internal import Configuration
internal import DeviceAPI
internal import EventLoop
internal import Glibc
internal import HTTPMessage
internal import HTTPServer
internal import JSON
internal import Logging
internal import Store
internal import Upstream

/// A hub with its state read and its ports open; runs until it is told to stop.
final class Hub {
    private let options: ServeOptions
    private let configuration: Configuration
    private var logger: Logger
    private let loop: EventLoop
    private let signals: Signals
    private let store: Store
    private let limits: ConnectionLimits
    private let attempts: AttemptLog
    private let audit: AuditLog
    private var faces = Faces()
    private var mqtt: MQTTFace?
    private var upstream: Upstream?
    private let notifier = ServiceNotifier()
    private let started = Duration.monotonic
    private var isStopping = false

    /// Reads the state, then opens the ports.
    init(_ options: ServeOptions, _ configuration: Configuration, _ logger: Logger) throws(DaemonError) {
        self.options = options
        self.configuration = configuration
        self.logger = logger
        attempts = AttemptLog(logger)
        let room = Process.connectionRoom
        guard room > 0 else {
            let (limit, least) = (Process.ownFiles + room, Process.ownFiles + 1)
            let why = "the process may open \(limit) files, at least \(least) are needed"
            throw DaemonError(.inputOutput, "\(why); raise LimitNOFILE= of the unit, or ulimit -n")
        }
        if configuration.http.maxConnections > room {
            logger.warning("[http] max-connections is cut to \(room): the process may not open more files")
        }
        limits = ConnectionLimits(
            maximum: min(configuration.http.maxConnections, room),
            maximumPerAddress: configuration.http.maxConnectionsPerAddress)
        // Signals before the first thread, which inherits that they are blocked.
        (loop, signals) = try orFail { () throws(SystemError) in
            (try EventLoop(), try Signals([SIGTERM, SIGINT, SIGHUP]))
        }
        store = try Store(
            directory: options.state(configuration), configuration.store.damaged.forStore,
            StartProgress(signals, notifier, logger), logger)
        audit = AuditLog(directory: store.path) { trouble in logger.report(trouble) }
        try listen()
    }

    /// Serves until SIGTERM or SIGINT, then brings everything to disk and answers everybody.
    func run() throws(DaemonError) {
        signals.onSignal = { [unowned self] signal in handle(signal) }
        try orFail { () throws(SystemError) in
            try loop.add(signals)
            for server in faces.servers { try loop.add(server) }
            for server in faces.coapServers { try loop.add(server) }
            if let source = mqtt?.source { try loop.add(source) }
            if let upstream { try loop.add(upstream) }
            if let interval = notifier.watchdogInterval {
                try loop.add(Timer(every: interval) { [notifier] in notifier.notify("WATCHDOG=1") })
            }
            try loop.add(store)
            try loop.add(store.upstream)
            try loop.add(audit)
        }
        logger.notice(
            "nearhub \(Version.number) is ready: \(store.profiles.count) profiles, \(store.deviceCount) devices")
        if Duration.sinceEpoch.milliseconds < Duration.earliestMilliseconds {
            logger.warning(#"the clock is not set: until it is, records have "clock":"unset" next to their time"#)
        }
        notifier.notify("READY=1\nSTATUS=serving")
        upstream?.start()
        let failure = Result { () throws(SystemError) in try loop.run() }
        try stop()
        try orFail { () throws(SystemError) in try failure.get() }
    }

    // MARK: - Faces

    private func listen() throws(DaemonError) {
        let devices = DeviceAPI(store) { [attempts, audit] attempt in
            attempts.log(attempt)
            audit.note(attempt)
        }
        upstream = try makeUpstream()
        let admin = AdminAPI(store, upstream, onChange: audit.note, onRefusal: audit.noteRefused) {
            [unowned self] json in writeStatus(to: &json)
        }
        try faces.openHTTP(configuration.http.listen, limits, logger) { [unowned self] request, exchange in
            if isStopping { return exchange.answer(.stopping) }
            devices.handle(request, exchange.answer)
        }
        try faces.openCoAP(configuration.coap.listen, DeviceAPI.coapResources, logger) { request, exchange in
            devices.handle(request, exchange.answer)
        }
        try faces.openAdmin(configuration.admin.socket, logger) { [unowned self] request, exchange in
            if isStopping { return exchange.answer(.stopping) }
            guard request.peer.isAdministrator else {
                audit.noteForbidden(request.peer)
                return exchange.answer(.forbidden)
            }
            if request.path.hasPrefix("/api/v1/") || request.path == "/health" {
                devices.handle(request, exchange.answer)
            } else {
                admin.handle(request, exchange.answer)
            }
        }
        if let broker = configuration.mqtt.url {
            mqtt = try MQTTFace(configuration, broker, devices, logger)
        }
    }

    private func makeUpstream() throws(DaemonError) -> Upstream? {
        guard let plan = try Upstream.Plan(configuration, hub: store.hub) else { return nil }
        let protection = plan.address.tls == nil ? "in clear" : "over TLS"
        logger.notice("upstream is \(plan.url), dialect \(plan.dialect.rawValue), \(protection)")
        if plan.settings.includesCredentials, plan.dialect == .journal {
            logger.warning(
                "[upstream] include-credentials = yes: whoever may read nearhub/# at the broker can be every device")
        }
        if plan.dialect == .thingsboard, plan.address.tls == nil {
            logger.warning(
                "[upstream] url is not mqtts://: everybody on the way reads provision secrets and credentials")
        }
        if let prefix = plan.formerPrefix(store.upstreamCursor.target) {
            logger.warning(
                """
                [upstream] name-prefix is now '\(plan.namePrefix)' instead of '\(prefix)': devices that are upstream \
                already keep their names there; rename them there yourself
                """)
        }
        var log = UpstreamLinkLog(plan, logger)
        let upstream = Upstream(plan, store, loop) { link in log.note(link) }
        upstream.onUnreadable = { [logger] error in
            logger.error("upstream: \(error); what cannot be read is not told until it can be")
        }
        return upstream
    }

    private func writeStatus(to json: inout JSONWriter) {
        json.member("version", Text(Version.number))
        json.name("libraries")
        json.beginObject()
        for library in Version.libraries {
            json.name(escaping: Text(library.name))
            json.text(Text(library.version))
        }
        json.endObject()
        json.member("pid", getpid())
        json.member("uptime", (Duration.monotonic - started).components.seconds)
        faces.writeStatus(to: &json, connections: limits.count)
        json.name("mqtt")
        json.beginObject()
        if let mqtt { mqtt.writeStatus(to: &json) } else { json.member("state", literal: "off") }
        json.endObject()
        json.name("upstream")
        json.beginObject()
        if let upstream { upstream.writeStatus(to: &json) } else { Upstream.writeStatusOff(to: &json) }
        json.member("hub", store.hub)
        json.endObject()
    }

    // MARK: - Signals

    private func handle(_ signal: CInt) {
        guard signal == SIGHUP else {
            logger.notice("stopping: signal \(signal)")
            return loop.stop()
        }
        do throws(DaemonError) {
            let fresh = try options.configuration()
            logger.logLevel = fresh.log.level.forLogger
            attempts.logger.logLevel = logger.logLevel
            limits.maximum = min(fresh.http.maxConnections, Process.connectionRoom)
            limits.maximumPerAddress = fresh.http.maxConnectionsPerAddress
            let moved =
                fresh.http.listen != configuration.http.listen || fresh.coap != configuration.coap
                || fresh.mqtt != configuration.mqtt || fresh.upstream != configuration.upstream
                || fresh.admin != configuration.admin || fresh.store != configuration.store
            logger.notice(
                "configuration read again\(moved ? "; what is new of addresses, [mqtt], [upstream] and [store] needs a restart" : "")"
            )
        } catch { logger.error("\(error); nothing has changed") }
    }

    private func stop() throws(DaemonError) {
        isStopping = true
        notifier.notify("STOPPING=1")
        for server in faces.servers { server.quiesce() }
        mqtt?.quiesce()
        upstream?.stop()
        do { try store.close() } catch { throw DaemonError(error) }
        // All exchanges have their answers now; this sends them.
        for server in faces.servers {
            server.prepare()
            server.run()
            server.stop()
        }
        for server in faces.coapServers { server.stop() }
        mqtt?.stop()
        audit.close()
        logger.notice("stopped: everything is on disk")
    }
}

extension HTTPPeer {
    /// Whether it is root, or the user the hub runs as.
    ///
    /// 65534 stands for every user of a foreign namespace and is nobody.
    fileprivate var isAdministrator: Bool {
        guard case .user(let uid) = self, uid != 65534 else { return false }
        return uid == 0 || uid == geteuid()
    }
}

extension HTTPResponse {
    fileprivate static var stopping: HTTPResponse { .error(503, .general, "the hub is stopping") }

    fileprivate static var forbidden: HTTPResponse {
        .error(403, .permissionDenied, "You don't have permission to perform this operation!")
    }
}

extension Configuration.Store.Damaged {
    /// The same in the words of the store.
    fileprivate var forStore: Store.Damage { self == .refuse ? .refuse : .serveRest }
}

extension Configuration.Log.Level {
    /// The same level in the words of swift-log.
    var forLogger: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
}

/// Runs a body whose failed system calls end the start.
func orFail<Result>(_ body: () throws(SystemError) -> Result) throws(DaemonError) -> Result {
    do { return try body() } catch { throw DaemonError(error) }
}
