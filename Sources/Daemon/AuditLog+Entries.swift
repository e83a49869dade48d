internal import AdminAPI
internal import Audit
internal import DeviceAPI
internal import HTTPMessage
internal import JSON
internal import Logging
internal import Provisioning

extension AuditLog {
    /// Writes down an attempt that changed something or was refused; a device that gets the same answer again did neither.
    func note(_ attempt: Attempt) {
        let (result, reason): (AuditEntry.Result, Text?)
        var device: Text? = attempt.deviceName
        switch attempt.result {
        case .provisioned(_, isNew: false): return
        case .provisioned(let name, isNew: true): (result, reason, device) = (.provisioned, nil, name)
        case .notFound: (result, reason) = (.refused, "NOT_FOUND")
        case .refused(let why): (result, reason) = (.refused, Text(why.rawValue))
        case .malformed(let malformed): (result, reason) = (.malformed, Text(malformed.detail))
        case .failed: (result, reason) = (.refused, Text(Reason.storage.rawValue))
        }
        note(
            AuditEntry(
                face: attempt.via, peer: attempt.peer, result: result, reason: reason, profile: attempt.profile?.name,
                device: device, seq: attempt.seq))
    }

    /// Writes down what an administrator changed.
    func note(_ change: AdminChange) {
        let result: AuditEntry.Result =
            switch change.kind {
            case .created: .created
            case .changed: .changed
            case .deleted: .deleted
            }
        note(
            AuditEntry(
                face: "admin", peer: change.peer.description, result: result, profile: change.profile,
                device: change.device, seq: change.seq))
    }

    /// Writes down that an administrator wanted a change and was refused.
    func noteRefused(_ peer: HTTPPeer, _ reason: Text) {
        note(AuditEntry(face: "admin", peer: peer.description, result: .refused, reason: reason))
    }

    /// Writes down that somebody who is no administrator wanted to be one.
    func noteForbidden(_ peer: HTTPPeer) {
        note(AuditEntry(face: "admin", peer: peer.description, result: .refused, reason: "FORBIDDEN"))
    }
}

extension Logger {
    /// Says that the audit log cannot be written, or can again: one line each.
    func report(_ trouble: AuditLog.Trouble) {
        switch trouble {
        case .failed(let error): warning("the audit log takes no lines: \(error); they are counted, all else goes on")
        case .over(let dropped): notice("the audit log takes lines again; \(dropped) were dropped")
        }
    }
}
