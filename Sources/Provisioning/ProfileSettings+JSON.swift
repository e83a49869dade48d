public import JSON

extension ProfileSettings {
    /// Writes the object of the member `nearhub`.
    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.name("repeatWindow")
        switch repeatWindow {
        case .seconds(let seconds): json.integer(seconds)
        case .forever: json.text("forever")
        }
        json.member("secretMode", word: secretMode)
        json.member("legacyFields", legacyFields)
        json.member("allowGateway", allowGateway)
        json.member("maxDevices", maxDevices)
        json.endObject()
    }

    /// Reads the member `nearhub`; what is absent keeps its default.
    ///
    /// - Throws: for an unknown member too, so that a misspelt setting is not taken for one.
    public init(_ json: JSONValue?) throws(InvalidRecord) {
        self.init()
        guard let json, json != .null else { return }
        guard let object = json.object else { throw InvalidRecord("nearhub must be an object") }
        for member in object.members {
            switch member.name {
            case "repeatWindow": repeatWindow = try RepeatWindow(member.value)
            case "secretMode":
                guard let mode = member.value.text.flatMap({ SecretMode(rawValue: $0.description) }) else {
                    throw InvalidRecord("nearhub.secretMode must be shared, derived or either")
                }
                secretMode = mode
            case "legacyFields": legacyFields = try member.requiredBool()
            case "allowGateway": allowGateway = try member.requiredBool()
            case "maxDevices":
                guard let number = member.value.integer.flatMap(UInt32.init(exactly:)), number > 0 else {
                    throw InvalidRecord("nearhub.maxDevices must be a number from 1 to 4294967295")
                }
                maxDevices = number
            default: throw InvalidRecord("unknown setting in nearhub")
            }
        }
    }
}

extension RepeatWindow {
    /// The longest window in seconds: 366 days.
    public static let maximumSeconds: UInt32 = 31_622_400

    fileprivate init(_ json: JSONValue) throws(InvalidRecord) {
        if json.text == "forever" {
            self = .forever
            return
        }
        guard let seconds = json.integer.flatMap(UInt32.init(exactly:)), seconds <= Self.maximumSeconds else {
            throw InvalidRecord("nearhub.repeatWindow must be 0 to \(Self.maximumSeconds) seconds, or forever")
        }
        self = .seconds(seconds)
    }
}

extension JSONObject.Member {
    fileprivate func requiredBool() throws(InvalidRecord) -> Bool {
        guard let bool = value.bool else { throw InvalidRecord("nearhub.\(name) must be true or false") }
        return bool
    }
}
