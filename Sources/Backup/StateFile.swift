/// A file of the state directory that a backup holds.
enum StateFile: String, CaseIterable {
    // In the order in which they are copied: each one is older than what it refers to, so that no device is without
    // its profile, and nothing counts as sent upstream that is not there.
    case upstream = "upstream.jsonl"
    case devices = "devices.jsonl"
    case profiles = "profiles.jsonl"
    case admin = "admin.jsonl"

    /// Whether there is no state without it.
    var isNeeded: Bool { self == .devices || self == .profiles }

    /// Whether it speaks of one gateway and no other: another one starts anew upstream.
    var isOfOneGateway: Bool { self == .upstream }

    /// Whether a member of an archive of the whole directory is none of the state and is left out.
    static func isIgnored(_ name: String) -> Bool {
        name.isEmpty || name == "lock" || name.hasPrefix("audit.jsonl") || name.contains(".jsonl.")
    }
}
