internal import EventLoop
internal import Logging
internal import Upstream

/// Says in the log how the connection to upstream is doing: a line for each change that is news.
struct UpstreamLinkLog {
    /// So many losses within that time are told as one.
    private static let manyLosses = 3
    private static let brief = Duration.seconds(60)

    private let url: String
    private let logger: Logger
    private var trouble: String?
    private var wasUp = false
    /// When connections ended, as far as it was a brief time ago.
    private var ends: [Duration] = []
    private var isFlapping = false

    init(_ plan: Upstream.Plan, _ logger: Logger) {
        url = plan.url
        self.logger = logger
    }

    /// Takes note of a change.
    mutating func note(_ link: LinkState) {
        switch link {
        case .connecting: break
        case .connected:
            if trouble != nil || !wasUp, !isFlapping { logger.notice("upstream is connected: \(url)") }
            wasUp = true
        case .waiting(let reason, _):
            let now = Duration.monotonic
            ends = ends.filter { now - $0 < Self.brief } + (wasUp ? [now] : [])
            let isNews = reason != trouble || (wasUp && ends.count < Self.manyLosses)
            if ends.isEmpty || reason != trouble { isFlapping = false }
            if isNews {
                logger.warning("upstream is not connected: \(url): \(reason); it tries again for ever")
            } else if wasUp, !isFlapping {
                isFlapping = true
                logger.warning("upstream is lost again and again, from now on in silence: \(url): \(reason)")
            }
            (trouble, wasUp) = (reason, false)
        case .stopped(let reason):
            if reason != trouble {
                logger.error(
                    """
                    upstream has stopped: \(url): \(reason); mend it there or in [upstream], then run: nearhub upstream \
                    retry
                    """)
            }
            (trouble, wasUp) = (reason, false)
        }
    }
}
