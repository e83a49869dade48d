/// The dialects, as the configuration calls them.
public enum DialectName: String, Sendable, CaseIterable {
    /// Retained records at any MQTT 5 broker.
    case journal
    /// Provision requests to a ThingsBoard server or another hub.
    case thingsboard
    /// The hub as a gateway of a ThingsBoard server.
    case gateway = "thingsboard-gateway"

    /// Whether it speaks only of devices that have been provisioned: a device that was registered and has not asked yet
    /// may still get other credentials.
    var isForProvisionedDevices: Bool { self != .journal }

    func make(_ settings: Settings) -> any Dialect {
        switch self {
        case .journal: JournalDialect(settings)
        case .thingsboard: ThingsBoardDialect(settings)
        case .gateway: GatewayDialect(settings)
        }
    }
}
