internal import Crypto
internal import JSON
internal import MQTTClient
internal import Provisioning

/// The topics of dialect `journal`, and what is published there.
struct JournalTopics {
    /// The length of a device's id, a UUID.
    private static let idLength = 36

    private let root: String
    /// The topic of the cursor.
    let cursor: String
    /// What all records match.
    let devices: String

    init(hub: Text) {
        root = "nearhub/\(hub)"
        cursor = root + "/cursor"
        devices = root + "/devices/+"
    }

    /// The state of a device.
    func record(
        _ change: Change, _ device: Device, _ profile: DeviceProfile?, withCredentials: Bool
    ) -> MQTTPublication {
        var json = JSONWriter()
        json.beginObject()
        json.member("seq", change.seq)
        json.member("name", change.upstreamName)
        json.member("profile", profile?.name)
        json.name("attributes")
        json.value(.object(device.attributes))
        json.member("credentialsType", word: device.credentials.type)
        json.member("credentialsIdHash", Text(utf8: Digest.sha3Hex(device.credentials.id.utf8)))
        if withCredentials {
            json.name("credentials")
            device.credentials.write(to: &json)
        }
        json.endObject()
        return retained(topic(change), json.bytes)
    }

    /// That a device is gone, for those who listen at that moment.
    func farewell(_ change: Change) -> MQTTPublication {
        var json = JSONWriter()
        json.beginObject()
        json.member("seq", change.seq)
        json.member("deleted", true)
        json.endObject()
        return retained(topic(change), json.bytes)
    }

    /// What empties the topic of a device.
    func nothing(_ change: Change) -> MQTTPublication { retained(topic(change), []) }

    /// How far the broker knows all.
    func cursor(_ seq: UInt64) -> MQTTPublication {
        var json = JSONWriter()
        json.beginObject()
        json.member("seq", seq)
        json.endObject()
        return retained(cursor, json.bytes)
    }

    /// Whether the hub is there.
    func status(isOnline: Bool) -> MQTTPublication {
        var json = JSONWriter()
        json.beginObject()
        json.member("online", isOnline)
        json.endObject()
        return retained(root + "/status", json.bytes)
    }

    /// The number in a cursor; nil when it is none.
    static func seq(_ payload: [UInt8]) -> UInt64? { (try? JSONValue.parse(payload))?["seq"]?.unsigned }

    /// The id of the device whose topic this is; nil when it is another one.
    func device(_ topic: String) -> Text? {
        let start = root + "/devices/"
        guard topic.hasPrefix(start), topic.utf8.count - start.utf8.count == Self.idLength else { return nil }
        return Text(String(topic.dropFirst(start.count)))
    }

    private func topic(_ change: Change) -> String { "\(root)/devices/\(change.device)" }

    private func retained(_ topic: String, _ payload: [UInt8]) -> MQTTPublication {
        var publication = MQTTPublication(topic: topic, payload: payload, qos: 1)
        publication.isRetained = true
        return publication
    }
}
