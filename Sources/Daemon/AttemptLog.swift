internal import DeviceAPI
internal import EventLoop
internal import JSON
internal import Journal
internal import Logging
internal import Provisioning

/// Logs what devices asked: a line each, and in a flood a few lines a second with the number of those left out.
final class AttemptLog {
    /// The most lines a second.
    private static let linesPerSecond = 20

    var logger: Logger
    private var second: Int64 = 0
    private var lines = 0
    private var leftOut = 0

    init(_ logger: Logger) {
        self.logger = logger
    }

    func log(_ attempt: Attempt) {
        guard attempt.level >= logger.logLevel, isWithinRate() else { return }
        logger.log(level: attempt.level, "\(attempt.words) (\(attempt.via) from \(printable(attempt.peer, limit: 80)))")
    }

    private func isWithinRate() -> Bool {
        let now = Duration.recent.components.seconds
        if now != second {
            if leftOut > 0 { logger.notice("\(leftOut) more requests of devices, not logged one by one") }
            (second, lines, leftOut) = (now, 0, 0)
        }
        guard lines < Self.linesPerSecond else {
            leftOut += 1
            return false
        }
        lines += 1
        return true
    }
}

extension Attempt {
    fileprivate var level: Logger.Level {
        switch result {
        case .provisioned: .info
        case .failed: .error
        default: .notice
        }
    }

    /// What happened; neither secrets nor credentials are in it.
    fileprivate var words: String {
        let profile = profile.map { " of profile \(quoted($0.name))" } ?? ""
        let device = deviceName.isEmpty ? "a device without a name" : "device \(quoted(deviceName))"
        switch result {
        case .provisioned(let name, true): return "provisioned \(quoted(name))\(profile)"
        case .provisioned(let name, false): return "\(quoted(name))\(profile) asked again, same answer"
        case .notFound: return "refused \(device): unknown provision key, wrong secret, or a disabled profile"
        case .refused(.quota):
            let limit = self.profile.map { "\($0.settings.maxDevices)" } ?? "all"
            return "refused \(device)\(profile): QUOTA, it has its \(limit) devices (max-devices)"
        case .refused(.privateAnswerImpossible):
            return "refused a request on the shared topic: everybody could read its answer (PRIVATE_ANSWER_IMPOSSIBLE)"
        case .refused(let reason): return "refused \(device)\(profile): \(reason.rawValue)"
        case .malformed(let malformed): return "refused a malformed request: \(malformed.detail)"
        case .failed(let error): return "refused \(device)\(profile): STORAGE: \(error)"
        }
    }
}

/// A name between quotes, with everything that is not plain text escaped, 255 characters of it at most.
func quoted(_ name: Text) -> String { "\"\(printable(name.description, limit: 255))\"" }
