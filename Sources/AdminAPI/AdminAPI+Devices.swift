internal import Crypto
internal import HTTPMessage
internal import JSON
internal import Journal
internal import Provisioning
internal import Store

extension AdminAPI {
    /// `POST /api/device[?accessToken=]`: registers a device with an access token, a random one unless it is given.
    func createDevice(_ call: Call) throws(AdminError) -> HTTPResponse {
        let token = call.request.parameter("accessToken").map { Text($0) } ?? Text(utf8: random.alphanumerics(20))
        guard let credentials = Credentials.accessToken(token) else { throw .badRequest("Invalid access token!") }
        return try register(try call.object(), credentials, call)
    }

    /// `POST /api/device-with-credentials`: registers a device with the credentials it is to have.
    func createDeviceWithCredentials(_ call: Call) throws(AdminError) -> HTTPResponse {
        let json = try call.object()
        guard let device = json["device"], let credentials = json["credentials"] else {
            throw .badRequest("device and credentials should be specified!")
        }
        return try register(device, try Credentials(admin: credentials), call)
    }

    /// `GET /api/tenant/devices?deviceName=`: a device by its exact name.
    func findDevice(_ call: Call) throws(AdminError) -> HTTPResponse {
        guard let name = call.request.parameter("deviceName") else {
            throw .badRequest("deviceName should be specified!")
        }
        guard let device = try onStore({ () throws(JournalError) in try store.device(named: Text(name)) }) else {
            throw .notFound()
        }
        return answer(device)
    }

    /// `GET /api/device/{id}`.
    func showDevice(_ call: Call) throws(AdminError) -> HTTPResponse { answer(try device(call)) }

    /// `GET /api/device/{id}/credentials`.
    func showCredentials(_ call: Call) throws(AdminError) -> HTTPResponse {
        let device = try device(call)
        return .json { json in
            json.name("id")
            json.beginObject()
            json.member("id", device.id)
            json.endObject()
            json.member("createdTime", device.createdTime)
            json.name("deviceId")
            json.entity("DEVICE", device.id)
            json.member("credentialsType", word: device.credentials.type)
            json.member("credentialsId", device.credentials.id)
            json.member("credentialsValue", device.credentials.value)
            json.member("version", 1)
        }
    }

    /// `GET /api/nearhub/devices?after=&limit=`: a slice of all devices, in the order of their last change.
    func listDevices(_ call: Call) throws(AdminError) -> HTTPResponse {
        let cursor = UInt64(try call.number("after", in: 0...Int.max))
        let limit = try call.number("limit", in: 1...500)
        var list = JSONWriter()
        list.beginArray()
        let next = try onStore { () throws(JournalError) in
            try store.devices(after: cursor, limit: limit) { device in
                list.beginObject()
                list.member("id", device.id)
                list.member("name", device.name)
                list.member("profile", store.profile(id: device.profile)?.name)
                list.member("credentialsType", word: device.credentials.type)
                list.member("provisioned", device.attributes[Device.provisionState] == Device.isProvisioned)
                list.member("createdTime", device.createdTime)
                list.endObject()
            }
        }
        list.endArray()
        return .json { json in
            json.name("devices")
            json.verbatim(list.bytes)
            json.name("next")
            if let next { json.integer(next) } else { json.null() }
        }
    }

    /// `GET …/DEVICE/{id}/values/attributes/SERVER_SCOPE[?keys=]`.
    func showAttributes(_ call: Call) throws(AdminError) -> HTTPResponse {
        let device = try device(call)
        let keys = call.request.parameter("keys").map { $0.split(separator: ",").map { Text($0) } }
        var json = JSONWriter()
        json.beginArray()
        for attribute in device.attributes.members where keys?.contains(attribute.name) ?? true {
            json.beginObject()
            json.member("lastUpdateTs", device.createdTime)
            json.member("key", attribute.name)
            json.name("value")
            json.value(attribute.value)
            json.endObject()
        }
        json.endArray()
        return HTTPResponse(body: json.bytes)
    }

    /// `POST …/DEVICE/{id}/attributes/SERVER_SCOPE`: sets the given attributes, leaves the others.
    func setAttributes(_ call: Call) throws(AdminError) -> HTTPResponse {
        var device = try device(call)
        for attribute in try call.object().object?.members ?? [] { device.attributes[attribute.name] = attribute.value }
        let changed = device
        try onStore { () throws(JournalError) in try store.put(changed, now: call.now) }
        note(.changed, changed, call)
        return HTTPResponse()
    }

    private func device(_ call: Call) throws(AdminError) -> Device {
        let id = try call.id()
        guard let device = try onStore({ () throws(JournalError) in try store.device(id: id) }) else {
            throw .notFound("Device with id [\(id)] is not found")
        }
        return device
    }

    private func register(_ json: JSONValue, _ credentials: Credentials, _ call: Call) throws(AdminError)
        -> HTTPResponse
    {
        guard json["id"] == nil || json["id"] == .null else {
            throw .badRequest("This version registers devices and does not change them")
        }
        let profile = try profile(of: json)
        let name = json["name"]?.text ?? ""
        if let fault = DeviceName.fault(name) { throw .badRequest(fault) }
        let (isNameTaken, isIdTaken) = try onStore { () throws(JournalError) in
            (try store.device(named: name) != nil, try store.device(holding: credentials.id) != nil)
        }
        if isNameTaken { throw .badRequest("Device with such name already exists!") }
        if isIdTaken { throw .badRequest("Device credentials are already assigned to another device!") }
        guard store.deviceCount(of: profile) < profile.settings.maxDevices else {
            throw .limit(
                "The device profile has reached its limit of \(profile.settings.maxDevices) devices (maxDevices)")
        }
        let device = Device(
            id: Text(utf8: random.uuid()), name: name, profile: profile.id, label: json["label"]?.text,
            createdTime: call.now, credentials: credentials,
            isGateway: json["additionalInfo"]?["gateway"]?.bool ?? false)
        try onStore { () throws(JournalError) in try store.put(device, now: call.now) }
        note(.created, device, call)
        return answer(device)
    }

    private func profile(of json: JSONValue) throws(AdminError) -> DeviceProfile {
        let byId = json["deviceProfileId"]?["id"]?.text.flatMap { store.profile(id: $0) }
        guard let profile = byId ?? json["type"]?.text.flatMap({ store.profile(named: $0) }) else {
            throw .badRequest("Device is referencing non existing device profile!")
        }
        return profile
    }

    /// A device in ThingsBoard's JSON (protocol.md 10.5).
    private func answer(_ device: Device) -> HTTPResponse {
        .json { json in
            json.name("id")
            json.entity("DEVICE", device.id)
            json.member("createdTime", device.createdTime)
            json.member("name", device.name)
            json.member("type", store.profile(id: device.profile)?.name)
            json.member("label", device.label)
            json.name("deviceProfileId")
            json.entity("DEVICE_PROFILE", device.profile)
            json.tenant()
            json.name("customerId")
            json.entity("CUSTOMER", "13814000-1dd2-11b2-8080-808080808080")
            json.name("deviceData")
            json.verbatim(
                Array(#"{"configuration":{"type":"DEFAULT"},"transportConfiguration":{"type":"DEFAULT"}}"#.utf8))
            json.nulls(["firmwareId", "softwareId", "externalId"])
            json.member("version", 1)
            json.name("additionalInfo")
            json.value(device.isGateway ? .object(JSONObject([.init(name: "gateway", value: .bool(true))])) : .null)
        }
    }
}
