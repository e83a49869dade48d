internal import JSON
internal import Journal
internal import Provisioning

extension Registry {
    mutating func replay(profile record: Record, _ earlier: EarlierRecords) throws(JournalError) {
        try earlier.checkPlace(record)
        let event = try earlier.decode(record) { record throws(InvalidRecord) in try Event(profileRecord: record) }
        apply(event, at: record.offset)
    }

    mutating func replay(device record: Record, _ earlier: EarlierRecords) throws(JournalError) {
        try earlier.checkPlace(record)
        guard record.offset <= HashIndex.maximumOffset else {
            throw JournalError(.unreadable(why: "it lies behind the first 64 GiB"), file: earlier.file)
        }
        let event = try earlier.decode(record) { record throws(InvalidRecord) in try Event(deviceRecord: record) }
        let id =
            switch event {
            case .device(let device): device.id
            case .deviceDeleted(let id), .profileDeleted(let id): id
            case .profile(let profile): profile.id
            }
        let old = try Key.id(id).find(in: byId.candidates(id.utf8)) { (offset) throws(JournalError) in
            try earlier.device(at: offset)
        }
        apply(event, at: record.offset, replacing: old)
    }
}

extension EarlierRecords {
    /// A log without its head may begin with a record.
    fileprivate func checkPlace(_ record: Record) throws(JournalError) {
        guard record.offset == 0 else { return }
        throw JournalError(.damaged(offset: 0, line: 1, why: "a record where the head belongs"), file: file)
    }

    fileprivate func device(at offset: UInt64) throws(JournalError) -> Device {
        try decode(try read(at: offset)) { record throws(InvalidRecord) in try Device(record) }
    }

    fileprivate func decode<Value>(
        _ record: Record, _ body: (Record) throws(InvalidRecord) -> Value
    ) throws(JournalError) -> Value {
        do { return try body(record) } catch {
            throw JournalError(.damaged(offset: record.offset, line: nil, why: error.description), file: file)
        }
    }
}
