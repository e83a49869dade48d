internal import Crypto
internal import HTTPMessage
internal import JSON
internal import Journal
internal import Provisioning
internal import Store

extension AdminAPI {
    /// `POST /api/deviceProfile`: makes a profile; key and secret are made up unless they are given.
    func createProfile(_ call: Call) throws(AdminError) -> HTTPResponse {
        let json = try call.object()
        if let id = json["id"], id != .null {
            throw .badRequest("This version creates device profiles and does not change them")
        }
        for (member, what) in [("type", "type"), ("transportType", "transport type")] {
            guard let value = json[Text(member)], value != .null else {
                throw .badRequest("Device profile \(what) should be specified!")
            }
            guard value.text == "DEFAULT" else { throw .badRequest("\(member) must be DEFAULT") }
        }
        var profile: DeviceProfile
        do throws(InvalidRecord) {
            profile = try DeviceProfile(json, id: Text(utf8: random.uuid()), createdTime: call.now)
        } catch { throw .badRequest(error.description) }
        try check(profile)
        if profile.strategy != .disabled {
            let makesKey = json["provisionDeviceKey"] == nil
            let makesSecret = json["profileData"]?["provisionConfiguration"]?["provisionDeviceSecret"] == nil
            profile = profile.with(
                provisionKey: makesKey ? Text(utf8: random.alphanumerics(20)) : profile.provisionKey,
                provisionSecret: makesSecret ? Secret(random.alphanumerics(20)) : profile.provisionSecret)
        }
        try onStore { () throws(JournalError) in try store.put(profile, now: call.now) }
        note(.created, profile, call)
        return .profile(profile)
    }

    /// `GET /api/deviceProfiles?pageSize=&page=[&textSearch=]`: by name.
    func listProfiles(_ call: Call) throws(AdminError) -> HTTPResponse {
        let size = try call.number("pageSize", in: 1...1000)
        let page = try call.number("page", in: 0...1_000_000)
        let search = call.request.parameter("textSearch")?.lowercased() ?? ""
        let found = store.profiles.filter { search.isEmpty || $0.name.description.lowercased().contains(search) }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        return .json { json in
            json.name("data")
            json.beginArray()
            for profile in found.dropFirst(page * size).prefix(size) { profile.write(to: &json, isComplete: true) }
            json.endArray()
            json.member("totalPages", (found.count + size - 1) / size)
            json.member("totalElements", found.count)
            json.member("hasNext", found.count > (page + 1) * size)
        }
    }

    /// `GET /api/deviceProfile/{id}`: with key and secret.
    func showProfile(_ call: Call) throws(AdminError) -> HTTPResponse { .profile(try profile(call)) }

    /// `DELETE /api/deviceProfile/{id}`: only while it has no devices.
    func deleteProfile(_ call: Call) throws(AdminError) -> HTTPResponse {
        let profile = try profile(call)
        guard store.deviceCount(of: profile) == 0 else {
            throw .badRequest("The device profile referenced by the devices cannot be deleted!")
        }
        try onStore { () throws(JournalError) in try store.delete(profile, now: call.now) }
        note(.deleted, profile, call)
        return HTTPResponse()
    }

    private func profile(_ call: Call) throws(AdminError) -> DeviceProfile {
        let id = try call.id()
        guard let profile = store.profile(id: id) else {
            throw .notFound("Device profile with id [\(id)] is not found")
        }
        return profile
    }

    /// What the rules of a single profile cannot see, and the limits of its texts.
    private func check(_ profile: DeviceProfile) throws(AdminError) {
        if let fault = DeviceName.fault(profile.name) {
            throw .badRequest(fault.hasPrefix("Device") ? "Device profile name should be specified!" : fault)
        }
        if store.profile(named: profile.name) != nil {
            throw .badRequest("Device profile with such name already exists!")
        }
        for (what, text) in [
            ("provisionDeviceKey", profile.provisionKey?.utf8),
            ("provisionDeviceSecret", profile.provisionSecret?.exposed),
        ] {
            guard let text else { continue }
            guard (1...255).contains(text.count) else { throw .badRequest("\(what) must have 1 to 255 bytes") }
        }
        if let key = profile.provisionKey, store.profile(key: key) != nil {
            throw .badRequest("Device profile with such provision device key already exists!")
        }
    }
}

extension HTTPResponse {
    fileprivate static func profile(_ profile: DeviceProfile) -> HTTPResponse {
        var json = JSONWriter()
        profile.write(to: &json, isComplete: true)
        return HTTPResponse(body: json.bytes)
    }
}
