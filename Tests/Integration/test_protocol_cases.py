"""The wire contract: every case of Tests/Protocol/cases.json that a built face can carry.

A case with `modernBody` runs twice: with legacyFields on its members are compared, with legacyFields off the exact
bytes. The checks know every member a case may have; a new one fails here until it is really checked.
"""

import collections
import concurrent.futures
import json
import re
import threading

import pytest

from drivers import AdminDriver, HTTPDriver
from harness import REPOSITORY, Hub, Profile, profile_body

CASES = json.loads((REPOSITORY / "Tests" / "Protocol" / "cases.json").read_text())
DRIVERS = {driver.transport: driver for driver in [HTTPDriver, AdminDriver]}
DEVICE_FACES = ("http", "coap", "mqtt")  # where the cases of transport "any" run once the face is built
SETTINGS = ("repeatWindow", "secretMode", "legacyFields", "allowGateway", "maxDevices")
CHECKED = {"status", "http", "coap", "mqtt", "fields", "modernBody", "after", "sequence", "multiset", "mustNotContain"}
OTHER_FACES = {"coapContentFormat", "coapType", "mqttPacketMaxBytes", "maxMembers", "note"}
CHECKED_FIELDS = {"present", "absent", "exact", "regex", "order"}
MALFORMED_FIELDS = {"httpExact", "httpPresent", "httpMessagePrefix", "coapAndMqttModernBody", "absent"}


def faces(case):
    """The built faces that carry a case."""
    wanted = case["request"]["transport"]
    candidates = DEVICE_FACES if wanted == "any" else [wanted]
    return [face for face in candidates if face in DRIVERS and case["id"] not in DRIVERS[face].waiting]


def has_bytes(case):
    expect = case["expect"]
    return any("modernBody" in one for one in [expect, *expect.get("sequence", [])])


def variants():
    """(case, face, whether exact bytes are compared) for all that can run."""
    for case in CASES:
        for face in faces(case):
            yield pytest.param(case, face, False, id=f"{case['id']}-{face}")
            if has_bytes(case):
                yield pytest.param(case, face, True, id=f"{case['id']}-{face}-bytes")


@pytest.mark.parametrize("case, face, exact_bytes", list(variants()))
def test_a_case_is_answered_as_the_contract_says(hub, case, face, exact_bytes):
    driver = DRIVERS[face](hub)
    profiles = make_given(hub, case["given"], exact_bytes)
    before = {device["name"] for device in hub.devices()}
    request, expect = case["request"], case["expect"]

    if "multiset" in expect:
        answers = at_once(request["concurrent"], lambda: driver.send(request))
        assert collections.Counter(a.json["status"] for a in answers) == collections.Counter(expect["multiset"])
    elif "sequence" in expect:
        requests = [request] * request.get("repeat", 1)
        requests += [{"transport": request["transport"], "body": body} for body in request.get("then", [])]
        assert len(requests) == len(expect["sequence"])
        answers = [driver.send(one) for one in requests]
        for answer, one in zip(answers, expect["sequence"], strict=True):
            check_answer(driver, one, answer, exact_bytes)
    else:
        answers = [driver.send(request)]
        check_answer(driver, expect, answers[0], exact_bytes)

    if "after" in expect:
        check_after(hub, expect["after"], answers[-1], before, profiles)


def test_cases_of_faces_that_are_not_built_yet_are_counted():
    waiting = collections.Counter(case["request"]["transport"] for case in CASES if not faces(case))
    running = collections.Counter(case["request"]["transport"] for case in CASES if faces(case))
    print(f"\n{running.total()} cases run; waiting: " + ", ".join(f"{n} for {face}" for face, n in waiting.items()))
    assert waiting == {"coap": 6, "mqtt": 7, "rest": 5}
    assert running == {"any": 87, "http": 6, "rest": 9}
    assert running.total() + waiting.total() == len(CASES) == 120


def test_audit_events_of_the_cases_wait_for_the_audit_log():
    waiting = [case["id"] for case in CASES if "event" in case["expect"].get("after", {})]
    print(f"\nthe rest of these cases runs, the audit event waits: {waiting}")
    assert waiting == ["dup-001", "pre-001", "pre-002"]


def make_given(hub: Hub, given: dict, exact_bytes: bool) -> dict[str, Profile]:
    """Makes the profiles and devices that a case starts from."""
    profiles = {}
    for wanted in given["profiles"]:
        settings = {name: wanted[name] for name in SETTINGS if name in wanted}
        if exact_bytes:
            settings["legacyFields"] = False
        strategy, key, secret = (wanted[k] for k in ("provisionType", "provisionDeviceKey", "provisionDeviceSecret"))
        if strategy == "X509_CERTIFICATE_CHAIN":
            refused = hub.admin("POST", "/api/deviceProfile", profile_body(wanted["name"], strategy, key, secret))
            assert (refused.status, refused.json["errorCode"]) == (400, 31)
        else:
            profiles[wanted["name"]] = hub.create_profile(wanted["name"], strategy, key, secret, **settings)
    if exact_bytes and not profiles:
        hub.create_profile("somebody else's", legacyFields=False)  # answers without a profile follow the hub's others
    for wanted in given["devices"]:
        credentials = {k: wanted[k] for k in ("credentialsType", "credentialsId", "credentialsValue")}
        hub.add_device(wanted["name"], wanted["profile"], credentials, wanted["provisionState"])
        assert hub.credentials(wanted["name"])["credentialsId"] == wanted["credentialsId"]
    return profiles


def check_answer(driver, expect, answer, exact_bytes):
    assert not (unknown := expect.keys() - CHECKED - OTHER_FACES), f"nothing checks {unknown}"
    driver.check_code(expect, answer)
    fields = expect.get("fields", {})
    if "httpExact" in fields:
        assert not (unknown := fields.keys() - MALFORMED_FIELDS), f"nothing checks {unknown}"
        driver.check_malformed(expect, answer)
        assert not driver.hub.guarded & set(re.findall(r"\w+", answer.body.decode())), "the input was echoed"
    else:
        assert not (unknown := fields.keys() - CHECKED_FIELDS), f"nothing checks {unknown}"
        if expect["status"] is not None:
            assert answer.json["status"] == expect["status"], answer
    check_fields(fields, answer)
    for text in expect.get("mustNotContain", []):
        assert text.encode() not in answer.body
    if exact_bytes and "modernBody" in expect:
        assert answer.body == expect["modernBody"].encode()


def check_fields(fields, answer):
    members = [name for name, _ in json.loads(answer.body, object_pairs_hook=list)]
    assert len(members) == len(set(members)), f"a member occurs twice: {members}"
    assert set(fields.get("present", [])) <= set(members)
    assert not set(fields.get("absent", [])) & set(members)
    for name, value in fields.get("exact", {}).items():
        assert answer.json[name] == value
    for name, pattern in fields.get("regex", {}).items():
        assert re.search(pattern, answer.json[name]), answer.json[name]
    if "order" in fields:
        assert [name for name in members if name in fields["order"]] == fields["order"]


def check_after(hub, after, answer, before, profiles):
    """Compares what the hub has now, as the admin API shows it, with what a case says it should have."""
    known = {"device", "deviceCount", "credentialsId", "deviceNameRegex", "credentialsIdEqualsCredentialsValue"}
    known |= {"provisionState", "event"}
    assert not (unknown := after.keys() - known), f"nothing checks {unknown}"
    now = [device["name"] for device in hub.devices()]
    new = [name for name in now if name not in before]
    assert hub.status()["devices"] == len(now)
    if "deviceCount" in after:
        assert len(now) == after["deviceCount"]
    if "deviceNameRegex" in after:
        assert len(new) == 1 and re.search(after["deviceNameRegex"], new[0]), new
    if "credentialsId" in after:
        assert hub.credentials(new[0])["credentialsId"] == after["credentialsId"]
    if "provisionState" in after:
        assert hub.attributes(new[0]).get("provisionState") == after["provisionState"]
    if after.get("credentialsIdEqualsCredentialsValue"):
        assert hub.credentials(new[0])["credentialsId"] == answer.json["credentialsValue"]
    if "device" in after:
        check_device(hub, after["device"], profiles)


def check_device(hub, wanted, profiles):
    known = {
        "name",
        "profile",
        "credentialsType",
        "credentialsId",
        "serverAttributes",
        "additionalInfo",
        "provisionState",
    }
    assert not (unknown := wanted.keys() - known), f"nothing checks {unknown}"
    device, attributes = hub.device(wanted["name"]), hub.attributes(wanted["name"])
    assert device is not None, f"there is no {wanted['name']}"
    if "profile" in wanted:
        assert device["type"] == wanted["profile"]
        assert device["deviceProfileId"] == {"entityType": "DEVICE_PROFILE", "id": profiles[wanted["profile"]].id}
    for name in ("credentialsType", "credentialsId"):
        if name in wanted:
            assert hub.credentials(wanted["name"])[name] == wanted[name]
    if "serverAttributes" in wanted:
        assert attributes == wanted["serverAttributes"]
    if "provisionState" in wanted:
        assert attributes.get("provisionState") == wanted["provisionState"]
    if "additionalInfo" in wanted:
        assert device["additionalInfo"] == wanted["additionalInfo"]


def at_once(number, action):
    """Runs `action` in that many threads, released at the same instant."""
    barrier = threading.Barrier(number)
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: (barrier.wait(), action())[1], range(number)))
