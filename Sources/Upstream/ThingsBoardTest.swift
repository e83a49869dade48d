internal import JSON
internal import MQTTClient
internal import Provisioning

/// Finds out whether devices are upstream by connecting with their credentials (protocol.md 11.4), one after the other
/// on a connection of its own.
struct ThingsBoardTest {
    /// What came out.
    enum Verdict {
        case isThere
        case isNot
        /// It cannot be found out like this.
        case unknown
        /// There was nobody to ask, again and again.
        case noAnswer
    }

    /// Whether upstream refuses strangers; where it lets everybody in, a CONNACK 0 says nothing.
    private enum Trust {
        case unknown
        case earned
        case none
    }

    private enum State {
        case idle
        /// With the credentials of the first device.
        case testing(until: Duration)
        /// With a name that nobody has.
        case testingTrust(until: Duration)
    }

    /// How long a connection may take.
    private static let patience = Duration.seconds(30)
    /// How long what was found out about strangers holds.
    private static let trustTime = Duration.seconds(3600)
    /// After how many tests that found nobody to ask a device is given up for a while.
    private static let mostFailures = 5

    let channel: Channel
    private let clientId: String
    private var jobs: [ThingsBoardJob] = []
    private var state = State.idle
    private var trust = Trust.unknown
    private var trustEnd = Duration.zero
    private var backOff = BackOff()
    private var nextTry = Duration.zero

    init(number: Int, clientId: String) {
        channel = Channel(number)
        self.clientId = "\(clientId)-check"
    }

    /// How many devices it holds.
    var count: Int { jobs.count }

    /// When it wants to be called.
    var deadline: Duration? {
        switch state {
        case .idle: jobs.isEmpty ? nil : nextTry
        case .testing(let until), .testingTrust(let until): until
        }
    }

    /// Takes a device whose state is in doubt.
    mutating func add(_ job: ThingsBoardJob) { jobs.append(job) }

    /// Does not wait any longer.
    mutating func hurry() { nextTry = .zero }

    /// Begins the next test, or gives up one that takes too long; a verdict without a connection comes at once.
    mutating func advance(at moment: Moment) -> (actions: [Action], result: (ThingsBoardJob, Verdict)?) {
        switch state {
        case .testing(let until), .testingTrust(let until):
            guard until <= moment.now else { return ([], nil) }
            return ([.disconnect(channel)], delay(moment))
        case .idle:
            guard let job = jobs.first, nextTry <= moment.now else { return ([], nil) }
            if trustEnd <= moment.now { trust = .unknown }
            guard trust != .none, let introduction = introduction(job.device.credentials) else {
                jobs.removeFirst()
                return ([], (job, .unknown))
            }
            state = .testing(until: moment.now + Self.patience)
            return ([.connect(channel, introduction)], nil)
        }
    }

    /// CONNACK 0: the credentials are good, unless all are.
    mutating func connected(at moment: Moment) -> (actions: [Action], result: (ThingsBoardJob, Verdict)?) {
        backOff.reset()
        switch state {
        case .idle: return ([], nil)
        case .testing where trust == .earned:
            state = .idle
            return ([.disconnect(channel)], takeFirst(.isThere))
        case .testing:
            state = .testingTrust(until: moment.now + Self.patience)
            let nobody = "nobody-" + String(UInt64(moment.chance * 0x1p53), radix: 16)
            let login = MQTTLogin(username: nobody, password: nil)
            let introduction = Introduction(clientId: clientId, version: .v311, login: login)
            return ([.disconnect(channel), .connect(channel, introduction)], nil)
        case .testingTrust:
            state = .idle
            (trust, trustEnd) = (.none, moment.now + Self.trustTime)
            return ([.disconnect(channel)], takeFirst(.unknown))
        }
    }

    /// The connection was refused, or there was none.
    mutating func disconnected(_ loss: MQTTLoss, at moment: Moment) -> (ThingsBoardJob, Verdict)? {
        guard loss.isRefusalOfLogin else {
            if case .idle = state { return nil }
            return delay(moment)
        }
        backOff.reset()
        switch state {
        case .idle: return nil
        case .testing:
            state = .idle
            return takeFirst(.isNot)
        case .testingTrust:
            state = .idle
            (trust, trustEnd) = (.earned, moment.now + Self.trustTime)
            return takeFirst(.isThere)
        }
    }

    private mutating func takeFirst(_ verdict: Verdict) -> (ThingsBoardJob, Verdict)? {
        jobs.isEmpty ? nil : (jobs.removeFirst(), verdict)
    }

    /// Waits before the next test, which is another device's: one that always fails holds up nobody.
    private mutating func delay(_ moment: Moment) -> (ThingsBoardJob, Verdict)? {
        state = .idle
        nextTry = moment.now + backOff.next(moment.chance)
        guard var job = jobs.first else { return nil }
        jobs.removeFirst()
        job.past.failedTests += 1
        guard job.past.failedTests < Self.mostFailures else { return (job, .noAnswer) }
        jobs.append(job)
        return nil
    }

    /// How the device itself would connect; nil for one whose key only the device has, or that would be taken for a
    /// device that provisions itself.
    private func introduction(_ credentials: Credentials) -> Introduction? {
        let provision: Text = "provision"
        switch credentials.type {
        case .accessToken:
            guard credentials.id != provision else { return nil }
            let login = MQTTLogin(username: credentials.id.description, password: nil)
            return Introduction(clientId: clientId, version: .v311, login: login)
        case .mqttBasic:
            let parts = MQTTBasicParts(credentials)
            guard parts.userName != provision, parts.clientId != provision else { return nil }
            let password = parts.password.isEmpty ? nil : parts.password.description
            let login = MQTTLogin(username: parts.userName.description, password: password)
            return Introduction(
                clientId: parts.clientId.isEmpty ? clientId : parts.clientId.description, version: .v311,
                login: parts.userName.isEmpty ? nil : login)
        case .x509Certificate, .lwm2m: return nil
        }
    }
}

extension MQTTLoss {
    /// Whether CONNACK says that nobody with this login is known: 2, 4 and 5 of MQTT 3.1.1, and their like of MQTT 5.
    fileprivate var isRefusalOfLogin: Bool {
        if case .refused(let code) = cause { [2, 4, 5, 0x85, 0x86, 0x87].contains(code) } else { false }
    }
}
