"""The admin API on the Unix socket beyond the cases: profiles, devices, paging, and what it refuses."""

import pytest

from harness import canary, profile_body


def refusal(answer):
    """Status and code of an error body, and its message."""
    assert answer.json.keys() == {"status", "message", "errorCode", "timestamp"}
    assert answer.json["status"] == answer.status
    return answer.status, answer.json["errorCode"], answer.json["message"]


UNKNOWN_ID = "784f394c-42b6-435a-983c-b7beff2784f9"


# Profiles


def test_a_created_profile_has_every_member_a_client_looks_for(hub, profile):
    wanted = {
        "id", "createdTime", "tenantId", "name", "type", "transportType", "provisionType", "provisionDeviceKey",
        "profileData", "description", "image", "default", "defaultRuleChainId", "defaultDashboardId",
        "defaultQueueName", "firmwareId", "softwareId", "defaultEdgeRuleChainId", "externalId", "version", "nearhub",
    }  # fmt: skip
    assert wanted <= profile.json.keys()
    assert profile.json["id"]["entityType"] == "DEVICE_PROFILE"
    assert isinstance(profile.json["createdTime"], int) and isinstance(profile.json["version"], int)
    assert hub.ask("GET", f"/api/deviceProfile/{profile.id}") == profile.json


def test_absent_key_and_secret_are_made(hub):
    body = profile_body("P", "ALLOW_CREATE_NEW_DEVICES", None, None)
    del body["provisionDeviceKey"], body["profileData"]["provisionConfiguration"]["provisionDeviceSecret"]
    made = hub.ask("POST", "/api/deviceProfile", body)
    key, secret = made["provisionDeviceKey"], made["profileData"]["provisionConfiguration"]["provisionDeviceSecret"]
    hub.guard(key, secret)
    assert len(key) >= 20 and len(secret) >= 20
    request = {"deviceName": "boiler", "provisionDeviceKey": key, "provisionDeviceSecret": secret}
    assert hub.provision(request).json["status"] == "SUCCESS"


@pytest.mark.parametrize("change, words", [
    ({"name": None}, "name should be specified"), ({"name": ""}, "name should be specified"),
    ({"type": None}, "type should be specified"), ({"transportType": None}, "transport type should be specified"),
    ({"provisionType": "X509_CERTIFICATE_CHAIN"}, ""), ({"provisionType": "SOMETHING"}, ""),
    ({"provisionType": "DISABLED"}, ""),  # disagrees with the provisionConfiguration
    ({"nearhub": {"repeatWindow": -1}}, "repeatWindow"), ({"nearhub": {"repeatWindow": "soon"}}, "repeatWindow"),
    ({"nearhub": {"secretMode": "open"}}, "secretMode"), ({"nearhub": {"legacyFields": "on"}}, "legacyFields"),
    ({"nearhub": {"maxDevices": -1}}, "maxDevices"), ({"nearhub": {"maxDevices": 1.5}}, "maxDevices"),
    ({"nearhub": []}, "nearhub"),
], ids=str)  # fmt: skip
def test_a_bad_profile_is_refused(hub, change, words):
    body = profile_body("P", "ALLOW_CREATE_NEW_DEVICES", canary(), canary()) | change
    status, code, message = refusal(hub.admin("POST", "/api/deviceProfile", body))
    assert (status, code) == (400, 31)
    assert words in message
    assert hub.status()["profiles"] == 0


def test_names_and_keys_of_profiles_are_unique(hub, profile):
    same_name = hub.admin(
        "POST", "/api/deviceProfile", profile_body("P", "ALLOW_CREATE_NEW_DEVICES", canary(), canary())
    )
    assert refusal(same_name) == (400, 31, "Device profile with such name already exists!")
    same_key = hub.admin(
        "POST", "/api/deviceProfile", profile_body("Q", "ALLOW_CREATE_NEW_DEVICES", profile.key, canary())
    )
    assert refusal(same_key) == (400, 31, "Device profile with such provision device key already exists!")
    assert profile.key.encode() not in same_key.body


def test_profiles_come_sorted_in_pages(hub):
    for name in ("c", "a", "e", "b", "d"):
        hub.create_profile(name)
    pages = [hub.ask("GET", f"/api/deviceProfiles?pageSize=2&page={page}") for page in range(4)]
    assert [[profile["name"] for profile in page["data"]] for page in pages] == [["a", "b"], ["c", "d"], ["e"], []]
    assert [page["hasNext"] for page in pages] == [True, True, False, False]
    assert {(page["totalPages"], page["totalElements"]) for page in pages} == {(3, 5)}


def test_profiles_are_searched_by_name(hub):
    for name in ("Boiler", "pump", "big boiler"):
        hub.create_profile(name)
    found = hub.ask("GET", "/api/deviceProfiles?pageSize=10&page=0&textSearch=BOIL")
    assert {profile["name"] for profile in found["data"]} == {"Boiler", "big boiler"}
    assert found["totalElements"] == 2


@pytest.mark.parametrize(
    "query", ["", "?pageSize=10", "?page=0", "?pageSize=0&page=0", "?pageSize=x&page=0", "?pageSize=10&page=-1"]
)
def test_paging_is_required_and_checked(hub, query):
    assert refusal(hub.admin("GET", "/api/deviceProfiles" + query))[:2] == (400, 31)


def test_a_profile_without_devices_is_deleted(hub, profile):
    answer = hub.admin("DELETE", f"/api/deviceProfile/{profile.id}")
    assert (answer.status, answer.body) == (200, b"")
    assert refusal(hub.admin("GET", f"/api/deviceProfile/{profile.id}"))[:2] == (404, 32)
    hub.create_profile("P", key=profile.key)


@pytest.mark.parametrize("method, path", [
    ("GET", "/api/deviceProfile/{}"), ("DELETE", "/api/deviceProfile/{}"), ("GET", "/api/device/{}"),
    ("GET", "/api/device/{}/credentials"), ("GET", "/api/plugins/telemetry/DEVICE/{}/values/attributes/SERVER_SCOPE"),
])  # fmt: skip
def test_unknown_and_bad_ids(hub, method, path):
    assert refusal(hub.admin(method, path.format(UNKNOWN_ID)))[:2] == (404, 32)
    assert refusal(hub.admin(method, path.format("xyz"))) == (400, 31, "Invalid UUID string: xyz")


# Devices


def test_a_device_has_every_member_a_client_looks_for(hub, profile):
    device = hub.add_device("boiler", profile, {"credentialsType": "ACCESS_TOKEN", "credentialsId": canary("token")})
    wanted = {
        "id", "createdTime", "tenantId", "customerId", "name", "type", "label", "deviceProfileId", "deviceData",
        "firmwareId", "softwareId", "externalId", "version", "additionalInfo",
    }  # fmt: skip
    assert wanted <= device.keys()
    assert device["customerId"]["id"] == "13814000-1dd2-11b2-8080-808080808080"
    assert device["deviceProfileId"] == profile.json["id"]
    assert hub.ask("GET", f"/api/device/{device['id']['id']}") == device == hub.device("boiler")
    credentials = hub.credentials("boiler")
    assert {
        "id",
        "createdTime",
        "deviceId",
        "credentialsType",
        "credentialsId",
        "credentialsValue",
        "version",
    } <= credentials.keys()
    assert credentials["deviceId"] == device["id"]


def test_a_device_may_name_its_profile_by_id(hub, profile):
    token = canary("token")
    hub.guard(token)
    body = {
        "name": "boiler",
        "label": "cellar",
        "deviceProfileId": profile.json["id"],
        "additionalInfo": {"gateway": True},
    }
    device = hub.ask("POST", f"/api/device?accessToken={token}", body)
    assert (device["type"], device["label"], device["additionalInfo"]) == ("P", "cellar", {"gateway": True})
    assert hub.credentials("boiler")["credentialsId"] == token


@pytest.mark.parametrize("body, words", [
    ({"type": "P"}, "name should be specified"), ({"name": "", "type": "P"}, "name should be specified"),
    ({"name": "x" * 256, "type": "P"}, "255"), ({"name": "a{{b}}", "type": "P"}, "malformed"),
    ({"name": "taken", "type": "P"}, "already exists"),
    ({"name": "x", "deviceProfileId": {"entityType": "DEVICE_PROFILE", "id": UNKNOWN_ID}}, "profile"),
    ([], ""), ("x", ""),
], ids=lambda value: str(value)[:40])  # fmt: skip
def test_a_bad_device_is_refused(hub, profile, body, words):
    hub.add_device("taken", profile, {"credentialsType": "ACCESS_TOKEN", "credentialsId": "token-1"})
    status, code, message = refusal(hub.admin("POST", "/api/device", body))
    assert (status, code) == (400, 31)
    assert words in message
    assert hub.status()["devices"] == 1


@pytest.mark.parametrize("credentials, words", [
    ({"credentialsType": "ACCESS_TOKEN", "credentialsId": "token-1"}, "already assigned"),
    ({"credentialsType": "MQTT_BASIC", "credentialsValue": '{"userName":"token-1"}'}, "already assigned"),
    ({"credentialsType": "ACCESS_TOKEN"}, ""), ({"credentialsType": "ACCESS_TOKEN", "credentialsId": ""}, ""),
    ({"credentialsType": "MQTT_BASIC", "credentialsValue": "{}"}, ""),
    ({"credentialsType": "MQTT_BASIC", "credentialsValue": '{"clientId":"c","password":"p"}'}, ""),
    ({"credentialsType": "MQTT_BASIC", "credentialsValue": "{"}, ""), ({"credentialsType": "X509_CERTIFICATE"}, ""),
    ({"credentialsType": "PSK", "credentialsId": "x"}, ""), ({}, ""),
], ids=str)  # fmt: skip
def test_bad_credentials_are_refused(hub, profile, credentials, words):
    hub.add_device("taken", profile, {"credentialsType": "ACCESS_TOKEN", "credentialsId": "token-1"})
    body = {"device": {"name": "boiler", "type": "P"}, "credentials": credentials}
    status, code, message = refusal(hub.admin("POST", "/api/device-with-credentials", body))
    assert (status, code) == (400, 31)
    assert words in message
    assert hub.device("boiler") is None


def test_devices_come_in_log_order_by_cursor(hub, profile):
    for number in range(7):
        hub.provision(profile.request(f"d{number}"))
    first = hub.ask("GET", "/api/nearhub/devices?after=0&limit=3")
    second = hub.ask("GET", f"/api/nearhub/devices?after={first['next']}&limit=3")
    third = hub.ask("GET", f"/api/nearhub/devices?after={second['next']}&limit=3")
    assert [device["name"] for page in (first, second, third) for device in page["devices"]] == [
        f"d{n}" for n in range(7)
    ]
    assert third["next"] is None
    assert (
        first["devices"][0].items() >= {"profile": "P", "credentialsType": "ACCESS_TOKEN", "provisioned": True}.items()
    )
    assert "credentialsId" not in first["devices"][0]


@pytest.mark.parametrize(
    "query", ["?after=x&limit=1", "?after=-1&limit=1", "?after=0&limit=0", "?after=0&limit=501", "?after=0&limit=x"]
)
def test_a_bad_cursor_is_refused(hub, query):
    assert refusal(hub.admin("GET", "/api/nearhub/devices" + query))[:2] == (400, 31)


def test_attributes_are_kept_and_chosen_by_key(hub, profile):
    device = hub.add_device("boiler", profile, {"credentialsType": "ACCESS_TOKEN", "credentialsId": "token-1"})
    path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}"
    answer = hub.admin("POST", f"{path}/attributes/SERVER_SCOPE", {"provisionState": "provisioned", "floor": 3})
    assert (answer.status, answer.body) == (200, b"")
    hub.restart()
    assert hub.attributes("boiler") == {"provisionState": "provisioned", "floor": 3}
    one = hub.ask("GET", f"{path}/values/attributes/SERVER_SCOPE?keys=floor,unknown")
    assert [(entry["key"], entry["value"]) for entry in one] == [("floor", 3)]
    assert isinstance(one[0]["lastUpdateTs"], int)


# The face itself


def test_an_unknown_path_is_404_and_a_wrong_method_405(hub):
    assert refusal(hub.admin("GET", "/api/nowhere"))[:2] == (404, 32)
    assert refusal(hub.admin("PUT", "/api/deviceProfile", {}))[:2] == (405, 31)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 5000])
def test_a_body_that_is_no_object_is_refused(hub, body):
    for path in ("/api/deviceProfile", "/api/device", "/api/device-with-credentials"):
        assert refusal(hub.admin("POST", path, body))[:2] == (400, 31)
