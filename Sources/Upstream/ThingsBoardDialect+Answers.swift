internal import JSON
internal import MQTTClient
internal import Provisioning

/// What becomes of a request, and of a device whose request came to nothing (protocol.md 11.4).
extension ThingsBoardDialect {
    /// After how many requests without an answer others go first: it may be the device.
    private static let mostUnknowns = 5
    /// The most devices that others go before.
    private static let mostResting = 4096
    /// The longest wait before a device is asked for again, in seconds.
    private static let longestPause = 60
    /// The first time that others go first, and the longest, in seconds.
    private static let restTimes = (first: 30, longest: 300)

    mutating func connected(_ channel: Channel, _ moment: Moment) {
        if channel == test.channel {
            let (next, result) = test.connected(at: moment)
            actions += next
            if let (job, verdict) = result { resolve(job, verdict, moment) }
        } else if let index = index(channel) {
            noteConnected()
            sessions[index].connected(at: moment.now)
        }
    }

    mutating func disconnected(_ channel: Channel, _ loss: MQTTLoss, _ moment: Moment) {
        if channel == test.channel {
            if let (job, verdict) = test.disconnected(loss, at: moment) { resolve(job, verdict, moment) }
            return
        }
        guard let index = index(channel) else { return }
        let request = sessions[index].request
        // The server closes each connection a while after its first answer.
        let isCustomary = sessions[index].link == .up && sessions[index].end != nil && loss.cause == .closed
        sessions[index].request = nil
        sessions[index].link = .down
        if !isCustomary { noteTrouble(loss.reason, moment) }
        if let request { doubt(request.job, .unknown) }
    }

    mutating func acknowledged(_ channel: Channel, _ receipt: Receipt, _ code: UInt8, _ moment: Moment) {
        guard let index = index(channel), let request = sessions[index].request, request.receipt == receipt else {
            return
        }
        sessions[index].request?.isAcknowledged = true
        guard code >= 0x80 else { return }
        // The server does not take such a message, now or ever.
        drop(index)
        settle(request.job.id, .refused(Reason(code: code)))
    }

    mutating func received(_ channel: Channel, _ message: MQTTMessage, _ moment: Moment) {
        guard message.topic == ThingsBoardTopics.response, !message.isRetained, let index = index(channel),
            let request = sessions[index].request
        else { return }
        let answer = ThingsBoardAnswer(message.payload)
        let issued = request.job.device.credentials
        if case .success(let credentials) = answer, credentials.isSame(as: issued) {
            noteAnswer(index, issued, moment)
            noteProfileIsKnown()
            return settle(request.job.id, .confirmed)
        }
        // One that comes twice, or late, belongs to an earlier request.
        guard request.isAcknowledged else { return }
        if case .success(let credentials) = answer, sessions[index].isStray(credentials) { return }
        noteAnswer(index, nil, moment)
        // Copies of this answer, which look like any other's, must not meet the next request.
        drop(index)
        switch answer {
        case .success(let credentials): doubt(request.job, .differs(credentials))
        case .failure:
            noteProfileIsKnown()
            doubt(request.job, .failure)
        case .unreadable: doubt(request.job, .unknown)
        case .notFound:
            release(request.job)
            let profile = settings.provisioning == nil ? " of profile \(request.job.profile)" : ""
            stop(
                "upstream answers NOT_FOUND: the provision key\(profile) is unknown there, its secret differs, or "
                    + "provisioning is disabled", moment)
        }
    }

    /// Has it found out how it stands with a device.
    mutating func doubt(_ job: ThingsBoardJob, _ doubt: ThingsBoardJob.Doubt) {
        var job = job
        job.doubt = doubt
        test.add(job)
    }

    /// Settles a device by the test of its credentials, or has it asked for again.
    mutating func resolve(_ job: ThingsBoardJob, _ verdict: ThingsBoardTest.Verdict, _ moment: Moment) {
        // Whoever answers that is there, whatever has become of the request.
        if verdict == .isThere || verdict == .isNot { backOff.reset() }
        switch (job.doubt, verdict) {
        // It works there by its old name: nothing has been asked by the new one.
        case (_, .isThere) where job.isRenamed && job.isTestedFirst && job.past.unknowns == 0:
            settle(job.id, .refused(.unsupportedByDialect))
        case (_, .isThere): settle(job.id, .confirmed)
        case (_, .noAnswer):
            var job = job
            // It is tested before it is asked for again.
            (job.past.unknowns, job.past.isTested) = (max(job.past.unknowns, 1), false)
            putOff(job, moment)
        case (.differs(let credentials), _): settle(job.id, .conflict(credentials))
        case (.failure, .isNot):
            settle(job.id, .refused(isUpdate(job, moment) ? .unsupportedByDialect : .failureUpstream))
        case (.failure, .unknown): settle(job.id, .refused(job.isRenamed ? .unsupportedByDialect : .needsCheck))
        case (.unknown, _): askAgain(job, moment)
        }
    }

    /// A device that may not have arrived is asked for again; if it had, upstream says FAILURE or its credentials do.
    private mutating func askAgain(_ job: ThingsBoardJob, _ moment: Moment) {
        var job = job
        job.past.isTested = true
        job.past.failedTests = 0
        guard !job.isTestedFirst else { return release(job) }
        if job.past.unknowns == 0 { job.past.answersBefore = answers }
        job.past.unknowns += 1
        guard job.past.unknowns < Self.mostUnknowns || pasts.count >= Self.mostResting else {
            return putOff(job, moment)
        }
        let pause = min(1 << min(job.past.unknowns - 1, 16), Self.longestPause)
        if job.past.unknowns > 1 { job.past.notBefore = moment.now + .seconds(pause) }
        release(job)
    }

    /// Lets others go first for a while, which gets longer each time unless nobody at all is answered; from then on it
    /// has one try at a time.
    private mutating func putOff(_ job: ThingsBoardJob, _ moment: Moment) {
        var past = job.past
        let rest = min(Self.restTimes.first << min(past.rests, 8), Self.restTimes.longest)
        if past.answersBefore != answers { past.rests += 1 }
        (past.answersBefore, past.notBefore) = (answers, .zero)
        pasts[job.id] = past
        settle(job.id, .unanswered(pause: .seconds(Double(rest) * (1 + moment.chance) / 2)))
    }

    /// Whether upstream was told of an earlier state of the device; it cannot be told of a change (protocol.md D16).
    func isUpdate(_ job: ThingsBoardJob, _ moment: Moment) -> Bool {
        guard let first = job.device.provisioned?.seq else { return false }
        return first < job.seq && first <= moment.cursor
    }

    private mutating func noteAnswer(_ index: Int, _ credentials: Credentials?, _ moment: Moment) {
        answers += 1
        backOff.reset()
        sessions[index].noteAnswer(credentials, at: moment.now)
    }

    private func index(_ channel: Channel) -> Int? { sessions.firstIndex { $0.channel == channel } }
}
