public import JSON

/// A device profile as the hub tells it (protocol.md 10.3 with the member `nearhub`).
public struct HubProfile: Sendable, Equatable {
    /// All members, in the hub's order.
    public private(set) var json: JSONObject
    /// The id, a UUID.
    public let id: Text
    /// The name.
    public let name: Text

    init?(_ value: JSONValue?) {
        guard let object = value?.object, let id = object["id"]?["id"]?.text, let name = object["name"]?.text else {
            return nil
        }
        json = object
        self.id = id
        self.name = name
    }

    /// ThingsBoard's name of the strategy, such as `ALLOW_CREATE_NEW_DEVICES`.
    public var strategy: Text? { json["provisionType"]?.text }
    /// The key that devices send; nil when the profile has none.
    public var key: Text? { json["provisionDeviceKey"]?.text }
    /// The secret that devices send, or derive theirs from; nil when the profile has none.
    public var secret: Text? { json["profileData"]?["provisionConfiguration"]?["provisionDeviceSecret"]?.text }
    /// When it was made, in milliseconds since 1970.
    public var createdTime: Int64? { json["createdTime"]?.integer }
    /// What the operator noted about it.
    public var note: Text? { json["description"]?.text }
    /// The settings only this hub has: `repeatWindow`, `secretMode`, `legacyFields`, `allowGateway`, `maxDevices`.
    public var settings: JSONObject? { json["nearhub"]?.object }

    /// The same profile with `***` for key and secret.
    public var withoutSecrets: HubProfile {
        var copy = self
        copy.json.hide("provisionDeviceKey")
        guard var data = json["profileData"]?.object, var configuration = data["provisionConfiguration"]?.object else {
            return copy
        }
        configuration.hide("provisionDeviceSecret")
        data["provisionConfiguration"] = .object(configuration)
        copy.json["profileData"] = .object(data)
        return copy
    }
}

extension JSONObject {
    /// Puts `***` in the place of a member's value, unless it is absent or null.
    mutating func hide(_ name: Text) {
        if let value = self[name], value != .null { self[name] = .text("***") }
    }
}

/// What a new profile shall be; members that are nil are left to the hub.
public struct NewProfile: Sendable {
    /// The name, not in use yet.
    public var name: Text
    /// ThingsBoard's name of the strategy.
    public var strategy: Text
    /// The key; nil lets the hub make one.
    public var key: Text?
    /// The secret; nil lets the hub make one.
    public var secret: Text?
    /// A note for people.
    public var note: Text?
    /// The hub's own settings, as in `HubProfile.settings`.
    public var settings = JSONObject()

    /// A profile of the given name and strategy.
    public init(name: Text, strategy: Text) {
        self.name = name
        self.strategy = strategy
    }

    var json: JSONValue {
        let standard = JSONValue.object(JSONObject([.init(name: "type", value: .text("DEFAULT"))]))
        var provisioning = JSONObject([.init(name: "type", value: .text(strategy))])
        provisioning["provisionDeviceSecret"] = secret.map(JSONValue.text)
        var profile = JSONObject([
            .init(name: "name", value: .text(name)), .init(name: "type", value: .text("DEFAULT")),
            .init(name: "transportType", value: .text("DEFAULT")), .init(name: "provisionType", value: .text(strategy)),
        ])
        profile["description"] = note.map(JSONValue.text)
        profile["provisionDeviceKey"] = key.map(JSONValue.text)
        profile["profileData"] = .object(
            JSONObject([
                .init(name: "configuration", value: standard), .init(name: "transportConfiguration", value: standard),
                .init(name: "provisionConfiguration", value: .object(provisioning)),
            ]))
        if !settings.members.isEmpty { profile["nearhub"] = .object(settings) }
        return .object(profile)
    }
}

extension Hub {
    /// Makes a profile: `POST /api/deviceProfile`.
    ///
    /// - Returns: the profile with key and secret.
    public func create(_ profile: NewProfile) throws(ControlError) -> HubProfile {
        let subject = "profile '\(printable(profile.name.description))'"
        guard let made = HubProfile(try ask("POST", "/api/deviceProfile", profile.json, about: subject)) else {
            throw Self.unexpected(subject)
        }
        return made
    }

    /// All profiles, by name: `GET /api/deviceProfiles`, page by page.
    public func profiles() throws(ControlError) -> [HubProfile] {
        var profiles: [HubProfile] = []
        var page = 0
        while true {
            let target = "/api/deviceProfiles?pageSize=100&page=\(page)"
            let answer = try object(try ask("GET", target, about: "profiles"), about: "profiles")
            for element in answer["data"]?.array ?? [] {
                guard let profile = HubProfile(element) else { throw Self.unexpected("profiles") }
                profiles.append(profile)
            }
            guard answer["hasNext"]?.bool == true, answer["data"]?.array?.isEmpty == false else { return profiles }
            page += 1
        }
    }

    /// The profile of exactly this name.
    ///
    /// - Throws: `notFound` when there is none.
    public func profile(named name: Text) throws(ControlError) -> HubProfile {
        guard let profile = try profiles().first(where: { $0.name == name }) else {
            throw ControlError(
                .notFound, "profile '\(printable(name.description))'", "there is no such profile",
                advice: "\"nearhub profile list\" shows all")
        }
        return profile
    }

    /// Deletes a profile no device uses: `DELETE /api/deviceProfile/{id}`.
    public func delete(_ profile: HubProfile) throws(ControlError) {
        let subject = "profile '\(printable(profile.name.description))'"
        _ = try ask("DELETE", "/api/deviceProfile/\(percentEncoded(profile.id.description))", about: subject)
    }
}
