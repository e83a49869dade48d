internal import JSON
internal import MQTTClient
internal import Provisioning

/// Dialect `thingsboard`: each device is provisioned upstream with the credentials that it has here (protocol.md 11).
///
/// An answer does not say which request it belongs to. So each session has one request in flight, a session on which
/// something odd has happened is dropped, and what is in doubt is found out by the device's own credentials. It speaks
/// MQTT 3.1.1, as devices do that provision themselves: every ThingsBoard takes it, and answers are messages in both.
public struct ThingsBoardDialect: Dialect {
    /// How long an answer is awaited; ThingsBoard itself gives up after 10 s.
    static let patience = Duration.seconds(15)
    /// How long a connection that takes the place of one that worked may take, and count as working.
    private static let handover = Duration.seconds(5)
    /// How many devices there are to one session, with those that wait.
    private static let jobsPerSession = 4
    /// The first wait after NOT_FOUND and the longest, in seconds.
    private static let stopTimes = (first: 30.0, longest: 300.0)

    let settings: Settings
    var sessions: [ThingsBoardSession]
    var test: ThingsBoardTest
    var actions: [Action] = []
    /// How many requests have been answered.
    var answers: UInt64 = 0
    var backOff = BackOff()
    /// Nobody connects before that.
    private var nextTry = Duration.zero
    private var trouble: String?
    private var pace: Pace
    /// What is remembered of devices that were given back, until they come again.
    var pasts: [Text: ThingsBoardJob.Past] = [:]
    private var stopped: (reason: String, until: Duration)?
    private var stopTime = Self.stopTimes.first
    private var isEnding = false
    private var lastReceipt: UInt64 = 0
    private var reported: LinkState?

    /// A dialect that has yet to be started.
    public init(_ settings: Settings) {
        self.settings = settings
        sessions = (0..<max(1, settings.sessions)).map { ThingsBoardSession(number: $0, clientId: settings.clientId) }
        test = ThingsBoardTest(number: sessions.count, clientId: settings.clientId)
        pace = Pace(rate: settings.rate)
    }

    /// As many as keep each session busy; none without a connection, or while the queue has stopped.
    public func room(at now: Duration) -> Int {
        guard !isEnding, stopped == nil, sessions.contains(where: { $0.link == .up }) else { return 0 }
        let held = sessions.reduce(test.count) { $0 + $1.count }
        return max(0, sessions.count * Self.jobsPerSession - held)
    }

    /// When the next of its many waits is over.
    public var deadline: Duration? {
        guard !isEnding else { return nil }
        let sessions = sessions.lazy.compactMap { deadline(of: $0) }.min()
        return [sessions, test.deadline, stopped?.until].compactMap(\.self).min()
    }

    /// Takes in what happened.
    public mutating func handle(_ input: Input, at moment: Moment) -> [Action] {
        actions = []
        switch input {
        case .start, .time, .subscribed: break
        case .resume: resume(moment.now)
        case .stop: isEnding = true
        case .device(let change): accept(change, moment)
        case .connected(let channel): connected(channel, moment)
        case .disconnected(let channel, let loss): disconnected(channel, loss, moment)
        case .acknowledged(let channel, let receipt, let code, _): acknowledged(channel, receipt, code, moment)
        case .message(let channel, let message): received(channel, message, moment)
        }
        if !isEnding { advance(moment) }
        report(moment.now)
        return actions
    }

    // MARK: - Devices

    /// Which session a device belongs to: always the same, so that what is asked for it stays in order.
    private func session(of device: Text) -> Int {
        // FNV-1a, 64 bits.
        let hash = device.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        return Int(hash % UInt64(sessions.count))
    }

    private mutating func accept(_ change: Change, _ moment: Moment) {
        let past = pasts.removeValue(forKey: change.device)
        guard case .device(let device, let profile) = change.content, device.credentials.type != .lwm2m else {
            return settle(change.device, .refused(.unsupportedByDialect))
        }
        let own = profile.flatMap { profile in
            profile.provisionKey.flatMap { key in profile.provisionSecret.map { (key: key, secret: $0) } }
        }
        guard let (key, secret) = settings.provisioning ?? own else {
            return settle(change.device, .refused(.noProvisionKey))
        }
        guard
            let payload = ThingsBoardRequest.payload(device, name: change.upstreamName, key: key, secret: secret)
        else { return settle(change.device, .refused(.notAccepted)) }
        var job = ThingsBoardJob(
            device: device, id: change.device, seq: change.seq, payload: payload, profile: profile?.name ?? "")
        job.past = past ?? ThingsBoardJob.Past()
        job.isRenamed = change.formerName.map { $0 != change.upstreamName } ?? false
        job.isTestedFirst = !job.past.isTested && (job.past.unknowns > 0 || job.isRenamed || isUpdate(job, moment))
        sessions[session(of: change.device)].waiting.append(job)
    }

    /// Gives a device back that is to be asked for in the state that it has by then.
    mutating func release(_ job: ThingsBoardJob) {
        if job.past.isTested || job.past.unknowns > 0 { pasts[job.id] = job.past }
        actions.append(.release(device: job.id))
    }

    /// While nobody can be asked no device waits here: by the time one can, it may be another one.
    private mutating func releaseWaiting() {
        for index in sessions.indices {
            for job in sessions[index].waiting { release(job) }
            sessions[index].waiting = []
        }
    }

    mutating func settle(_ device: Text, _ outcome: Outcome) { actions.append(.settle(device: device, outcome)) }

    // MARK: - Stops

    /// Stops the queue: upstream does not know the profile, so it would refuse every further device too.
    mutating func stop(_ reason: String, _ moment: Moment) {
        guard stopped == nil else { return }
        let wait = stopTime / 2 + stopTime / 2 * moment.chance
        stopTime = min(stopTime * 2, Self.stopTimes.longest)
        stopped = (reason, moment.now + .milliseconds(Int(wait * 1000)))
    }

    /// Upstream knows a profile: what was wrong has been mended.
    mutating func noteProfileIsKnown() { stopTime = Self.stopTimes.first }

    private mutating func resume(_ now: Duration) {
        stopped = nil
        nextTry = now
        test.hurry()
    }

    // MARK: - Connections

    /// A connection has ended without having been of any use, or none came about.
    mutating func noteTrouble(_ reason: String, _ moment: Moment) {
        trouble = reason
        // Several sessions fail together; that is one try.
        guard nextTry <= moment.now else { return }
        nextTry = moment.now + backOff.next(moment.chance)
    }

    /// Does whatever is due.
    private mutating func advance(_ moment: Moment) {
        if let stopped, stopped.until <= moment.now { self.stopped = nil }
        runTests(moment)
        for index in sessions.indices { advance(index, moment) }
        runTests(moment)
        if stopped != nil || !sessions.contains(where: \.isWorking) { releaseWaiting() }
    }

    private mutating func runTests(_ moment: Moment) {
        while true {
            let (next, result) = test.advance(at: moment)
            actions += next
            guard let (job, verdict) = result else { return }
            resolve(job, verdict, moment)
        }
    }

    private mutating func advance(_ index: Int, _ moment: Moment) {
        let now = moment.now
        if let request = sessions[index].request {
            guard request.deadline <= now else { return }
            // A late answer must not meet the next request.
            drop(index)
            doubt(request.job, .unknown)
        }
        if sessions[index].link == .up, sessions[index].isOver(at: now) || stopped != nil { drop(index) }
        guard stopped == nil else { return }
        switch sessions[index].link {
        case .connecting(let plannedUntil):
            if let plannedUntil, plannedUntil <= now { sessions[index].link = .connecting(plannedUntil: nil) }
        case .down:
            let isWanted = sessions[index].isPermanent || sessions[index].due.map { $0 <= now } ?? false
            guard isWanted, nextTry <= now else { return }
            let isPlanned = trouble == nil && reported == .connected
            sessions[index].link = .connecting(plannedUntil: isPlanned ? now + Self.handover : nil)
            actions.append(.connect(sessions[index].channel, sessions[index].introduction))
        case .up:
            guard pace.isFree(at: now), let job = sessions[index].next(at: now) else { return }
            pace.take(at: now)
            guard !job.isTestedFirst else { return doubt(job, .unknown) }
            lastReceipt += 1
            let receipt = Receipt(lastReceipt)
            sessions[index].request = .init(job: job, receipt: receipt, deadline: now + Self.patience)
            let publication = MQTTPublication(topic: ThingsBoardTopics.request, payload: job.payload, qos: 1)
            actions.append(.publish(sessions[index].channel, publication, receipt))
        }
    }

    /// Ends the connection of a session; the next one comes as soon as it is needed.
    mutating func drop(_ index: Int) {
        sessions[index].request = nil
        sessions[index].link = .down
        actions.append(.disconnect(sessions[index].channel))
    }

    mutating func noteConnected() { trouble = nil }

    private func deadline(of session: ThingsBoardSession) -> Duration? {
        if let request = session.request { return request.deadline }
        guard stopped == nil else { return nil }
        switch session.link {
        case .connecting(let plannedUntil): return plannedUntil
        case .down: return (session.isPermanent ? .zero : session.due).map { max($0, nextTry) }
        case .up: return [session.due.map { max($0, pace.free) }, session.expiry].compactMap(\.self).min()
        }
    }

    private mutating func report(_ now: Duration) {
        let state: LinkState
        if let stopped {
            state = .stopped(stopped.reason)
        } else if sessions.contains(where: \.isWorking) {
            state = .connected
        } else if let trouble, nextTry > now {
            state = .waiting(trouble, until: nextTry)
        } else {
            state = .connecting
        }
        guard state != reported, !isEnding else { return }
        reported = state
        actions.append(.report(state))
    }
}
