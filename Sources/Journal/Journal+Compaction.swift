/// A compaction that is under way.
struct Compacting {
    /// How far its last step is.
    enum Phase { case working, waiting, moving }

    let log: Log
    let job: Compaction
    let isLive: (Log.Candidate) -> Bool
    let bytesBefore: UInt64
    var phase = Phase.working
    var isCancelled = false
    /// What made lines dead was staged up to here: the old ones are the state until this is on disk.
    var position: UInt64 = 0
}

extension Journal {
    /// The log that is being written anew, and how many bytes of how many are read for it; nil when there is none.
    public var compaction: (log: String, done: UInt64, total: UInt64)? {
        compacting.map { ($0.log.name, $0.job.progress.done, $0.job.progress.total) }
    }

    /// Whether nothing may be written, since a log is changing its file.
    var isMoving: Bool { compacting?.phase == .moving }

    /// Lets a compaction take its last step, if it waits for that; no group may be under way.
    func beginMove() -> Bool {
        guard let compacting, compacting.phase == .waiting, !compacting.isCancelled,
            durablePosition >= compacting.position
        else { return false }
        self.compacting?.phase = .moving
        compacting.job.answer(.end(compacting.log.size))
        return true
    }

    /// Ends the compaction, unless it is in its last step; it tells when it has ended.
    func cancelCompaction(_ reason: JournalError) {
        compacting?.isCancelled = true
        compacting?.job.cancel(reason)
    }

    /// Takes what the compaction has to tell.
    func advanceCompaction() {
        guard let compacting, let event = compacting.job.takeEvent() else { return }
        switch event {
        case .question(let candidates):
            self.compacting?.position = position
            compacting.job.answer(.live(candidates.map(compacting.isLive)))
        case .wantsEnd: compacting.job.answer(.end(compacting.log.size))
        case .wantsRest: self.compacting?.phase = .waiting
        case .replaced(let replacement):
            compacting.log.take(replacement)
            compacting.job.answer(.taken)
            end(.shorter(bytesBefore: compacting.bytesBefore, bytes: replacement.size))
        case .notWorthwhile(let live): end(.notWorthwhile(live: live))
        case .failed(let error): end(.failed(error))
        }
    }

    private func end(_ outcome: Log.Moved) {
        guard let log = compacting?.log else { return }
        compacting = nil
        onMoved?(log, outcome)
    }
}
