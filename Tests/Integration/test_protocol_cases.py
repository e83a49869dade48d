"""The wire contract: every case of Tests/Protocol/cases.json over every face that can carry it, by one table.

A case of transport `any` runs over HTTP, CoAP, MQTT with a plain broker, and MQTT with Nearhub's plugin. A case that
states exact bytes runs twice: with legacyFields on its members are compared, with legacyFields off the bytes. The
checks know every member a case may have; a new one fails here until it is really checked.
"""

import collections
import concurrent.futures
import json
import re
import threading

import pytest

from conftest import close_all
from drivers import AdminDriver, CoAPDriver, HTTPDriver, MQTTDriver, PluginDriver
from harness import REPOSITORY, Hub, Profile, profile_body

CASES = json.loads((REPOSITORY / "Tests" / "Protocol" / "cases.json").read_text())
DRIVERS = [HTTPDriver, CoAPDriver, MQTTDriver, PluginDriver, AdminDriver]
SETTINGS = ("repeatWindow", "secretMode", "legacyFields", "allowGateway", "maxDevices")
CHECKED = {"status", "http", "coap", "mqtt", "fields", "modernBody", "after", "sequence", "multiset", "mustNotContain"}
CHECKED |= {"coapContentFormat", "coapType", "mqttPacketMaxBytes", "maxMembers"}  # by the face's driver
REMARKS = {"note", "optional"}
CHECKED_FIELDS = {"present", "absent", "exact", "regex", "order"}
MALFORMED_FIELDS = {"httpExact", "httpPresent", "httpMessagePrefix", "coapAndMqttModernBody", "absent"}


def has_bytes(case, driver):
    """Whether a case states the exact bytes of the answer over this face."""
    expect = case["expect"]
    names = {"modernBody"} if driver in (HTTPDriver, AdminDriver) else {"modernBody", "coapAndMqttModernBody"}
    stated = [one.keys() | one.get("fields", {}).keys() for one in [expect, *expect.get("sequence", [])] if one]
    return any(names & one for one in stated)


def variants():
    """(case, driver, whether exact bytes are compared) for all that can run."""
    for case in CASES:
        for driver in DRIVERS:
            if driver.takes(case):
                yield pytest.param(case, driver, False, id=f"{case['id']}-{driver.face}")
                if has_bytes(case, driver):
                    yield pytest.param(case, driver, True, id=f"{case['id']}-{driver.face}-bytes")


@pytest.fixture(scope="module")
def case_brokers():
    """One broker for all cases of a face in this process; only one hub at a time is connected to it."""
    made = {}

    def broker(driver):
        if driver not in made:
            made[driver] = driver.make_broker()
            if made[driver] is not None:
                made[driver].start()
        return made[driver]

    yield broker
    close_all([one for one in made.values() if one is not None])


@pytest.fixture
def hub_behind(hubs, case_brokers):
    """Starts a hub, connected to a broker if the face needs one."""

    def start(driver):
        broker = case_brokers(driver)
        if broker is None:
            return hubs().start(), None
        settings = broker.hub_settings if broker.plugin else [f"mqtt.url={broker.url}"]
        return hubs(*settings, "mqtt.response-topics=yes").start().connected(), broker

    return start


@pytest.mark.parametrize("case, driver_type, exact_bytes", list(variants()))
def test_a_case_is_answered_as_the_contract_says(hub_behind, case, driver_type, exact_bytes):
    hub, broker = hub_behind(driver_type)
    driver = driver_type(hub, broker)
    try:
        run(case, driver, exact_bytes)
    finally:
        driver.close()


def run(case, driver, exact_bytes):
    hub = driver.hub
    profiles = make_given(hub, case["given"], exact_bytes)
    before = {device["name"] for device in hub.devices()}
    request, expect = case["request"], case["expect"]

    if "multiset" in expect:
        answers = at_once(request["concurrent"], lambda: driver.send(request))
        assert collections.Counter(a.json["status"] for a in answers) == collections.Counter(expect["multiset"])
    elif "sequence" in expect:
        requests = sequence(request)
        assert len(requests) == len(expect["sequence"])
        answers = [driver.send(one) for one in requests]
        for answer, one in zip(answers, expect["sequence"], strict=True):
            if one is not None:
                check_answer(driver, one, answer, exact_bytes)
    else:
        answers = [driver.send(request)]
        check_answer(driver, expect, answers[0], exact_bytes)

    if "after" in expect:
        check_after(hub, expect["after"], answers[-1], before, profiles)


def test_cases_of_faces_that_are_not_built_yet_are_counted():
    waiting = collections.Counter(case["request"]["transport"] for case in CASES if not faces(case))
    running = collections.Counter(case["request"]["transport"] for case in CASES if faces(case))
    runs = collections.Counter(face for case in CASES for face in faces(case))
    print(f"\n{running.total()} cases run: " + ", ".join(f"{n} over {face}" for face, n in runs.items()))
    assert waiting == {"rest": 5}
    assert running == {"any": 87, "http": 6, "coap": 6, "mqtt": 7, "rest": 9}
    assert runs == {"http": 93, "coap": 93, "mqtt": 94, "mqtt-plugin": 90, "rest": 9}
    assert running.total() + waiting.total() == len(CASES) == 120


def faces(case):
    return [driver.face for driver in DRIVERS if driver.takes(case)]


def test_audit_events_of_the_cases_wait_for_the_audit_log():
    waiting = [case["id"] for case in CASES if "event" in case["expect"].get("after", {})]
    print(f"\nthe rest of these cases runs, the audit event waits: {waiting}")
    assert waiting == ["dup-001", "pre-001", "pre-002"]


def sequence(request):
    """The requests of a case of several; `<id>` is the request of another case."""
    if "sequence" not in request:
        then = [{"transport": request["transport"], "body": body} for body in request.get("then", [])]
        return [request] * request.get("repeat", 1) + then
    others = {f"<{case['id']}>": case["request"] for case in CASES}
    return [
        others[one] if isinstance(one, str) else {"transport": request["transport"], "body": one}
        for one in request["sequence"]
    ]


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
    assert not (unknown := expect.keys() - CHECKED - REMARKS), f"nothing checks {unknown}"
    driver.check_code(expect, answer)
    fields = expect.get("fields", {})
    if expect["status"] is None and not fields:
        return  # no provision answer: the code says it all
    if "httpExact" in fields:
        assert not (unknown := fields.keys() - MALFORMED_FIELDS), f"nothing checks {unknown}"
        driver.check_malformed(expect, answer, exact_bytes)
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
