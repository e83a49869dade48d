"""A wall clock that is wrong: in 1970, jumping, beyond 2038 and 2106; nothing but what people read depends on it."""

import json
import random
import time

import pytest

import faultline
import journal
from coap import ACK, CON, Message, Peer
from devices import MQTTDevice, over_coap
from harness import PROVISION, eventually, exchange
from test_crash import Load
from test_decisions import reason
from wallclock import WallClock

YEAR = 31_557_600
VERSION_MADE = 1_795_478_400  # 2026-11-24
WITHOUT_BATTERY = 12  # seconds after 1970 that a gateway without a clock battery starts at
WINDOW = 2  # seconds of the repeat window


@pytest.fixture
def clock(tmp_path):
    return WallClock(tmp_path / "clock")


@pytest.fixture
def hub(hubs, clock):
    """A hub, not started, with a wall clock of its own."""
    hub = hubs()
    hub.environment |= clock.environment
    return hub


def records(hub, log="devices"):
    read = journal.read(hub.state / f"{log}.jsonl")
    read.verify()
    return [line.json for line in read.records]


def audit(hub):
    return [json.loads(line) for line in (hub.state / "audit.jsonl").read_text().splitlines()]


def year(entry):
    return int(entry["at"][:4])


# What is written


def test_a_gateway_without_a_clock_battery_starts_in_1970_and_is_set_later(hub, clock):
    clock.set(WITHOUT_BATTERY)
    hub.start()
    assert hub.stderr.count("the clock is not set") == 1
    profile = hub.create_profile()
    first = hub.provision(profile.request("early")).json
    assert over_coap(hub, json.dumps(profile.request("early too")).encode()).code.dotted == "2.01"
    clock.set(VERSION_MADE + 3 * YEAR)
    hub.provision(profile.request("late"))
    clock.set(WITHOUT_BATTERY)
    hub.provision(profile.request("early again"))
    lines = records(hub)
    assert [line["seq"] for line in lines] == [1, 2, 3, 4]
    assert [year(line) for line in lines] == [1970, 1970, 2029, 1970]
    assert [line.get("clock") for line in lines] == ["unset", "unset", None, "unset"]
    assert [line.get("clock") for line in records(hub, "profiles")] == ["unset"]
    assert [(year(line), line.get("clock")) for line in audit(hub)] == [(1970, "unset")] * 3 + [(2029, None), (1970, "unset")]  # fmt: skip
    assert hub.cli("audit").code == 0
    clock.set(VERSION_MADE + 3 * YEAR)
    hub.restart()
    assert hub.stderr.count("the clock is not set") == 1
    assert [device["name"] for device in hub.devices()] == ["early", "early too", "late", "early again"]
    assert hub.credentials("early")["credentialsId"] == first["credentialsValue"]
    assert hub.cli("log", "verify", "--state", hub.state).code == 0


def test_the_order_is_that_of_the_numbers_however_the_clock_jumps(hub, clock):
    hub.start()
    profile = hub.create_profile()
    hub.add_device("boiler", profile)
    identity = hub.device("boiler")["id"]["id"]
    path = f"/api/plugins/telemetry/DEVICE/{identity}/attributes/SERVER_SCOPE"
    for value, jump in enumerate((10 * YEAR, -20 * YEAR, 15 * YEAR, -3600, 1)):
        clock.jump(jump)
        hub.ask("POST", path, {"value": value})
        assert hub.attributes("boiler")["value"] == value
    times = [line["at"] for line in records(hub)]
    assert times != sorted(times)
    hub.kill9()
    clock.jump(-5 * YEAR)
    hub.start()
    assert hub.attributes("boiler")["value"] == 4
    assert [line["seq"] for line in records(hub)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("seconds", "text", "mark"),
    [
        (-1, "1970-01-01T00:00:00", "unset"),
        (-(10**12), "1970-01-01T00:00:00", "unset"),
        (-(2**63), "1970-01-01T00:00:00", "unset"),
        (VERSION_MADE - 10, "2026-11-23T23:59:5", "unset"),
        (VERSION_MADE, "2026-11-24T00:00:0", None),
        (2**31, "2038-01-19T03:14:", None),
        (2**32, "2106-02-07T06:28:", None),
        (2**33, "2242-03-16T12:56:", None),
        (253_402_300_800, "9999-12-31T23:59:59.999Z", None),
        (2**55, "9999-12-31T23:59:59.999Z", None),
        (2**63 // 1000, "9999-12-31T23:59:59.999Z", None),
        (2**63 - 1, "9999-12-31T23:59:59.999Z", None),
    ],
)
def test_any_clock_will_do(hub, clock, seconds, text, mark):
    clock.set(seconds)
    hub.start()
    profile = hub.create_profile()
    answer = hub.provision(profile.request("boiler"))
    assert answer.json["status"] == "SUCCESS"
    assert hub.provision(profile.request("boiler")).body == answer.body
    assert over_coap(hub, json.dumps(profile.request("valve")).encode()).code.dotted == "2.01"
    assert hub.provision({"deviceName": "bad"}).status == 400
    for line in records(hub) + records(hub, "profiles") + audit(hub):
        assert line["at"].startswith(text) and line.get("clock") == mark, line
    for command in ("status", "audit", "device list", "device show boiler", "profile list"):
        assert hub.cli(*command.split()).code == 0
    clock.set(0)
    clock.set(seconds)
    hub.restart()
    assert hub.provision(profile.request("boiler")).body == answer.body
    assert hub.status()["devices"] == 2


# What must not depend on it


@pytest.mark.parametrize("jump", (10 * YEAR, -10 * YEAR, 80 * YEAR, -(2**62)))
def test_repeat_windows_count_by_the_monotonic_clock(hub, clock, jump):
    hub.start()
    profile = hub.create_profile(repeatWindow=WINDOW)
    began = time.monotonic()
    first = hub.provision(profile.request("boiler"))
    clock.jump(jump)
    again = hub.provision(profile.request("boiler"))
    if time.monotonic() - began < WINDOW:
        assert again.body == first.body
    clock.jump(-jump)
    time.sleep(max(0, began + WINDOW + 0.3 - time.monotonic()))
    clock.jump(jump)
    assert reason(hub.provision(profile.request("boiler"))) == "ALREADY_PROVISIONED"
    clock.jump(-jump)
    assert reason(hub.provision(profile.request("boiler"))) == "ALREADY_PROVISIONED"
    eventually(lambda: any("settled" in mark for mark in journal.read(hub.state / "devices.jsonl").marks("sync")), 15)


@pytest.mark.parametrize("jump", (10 * YEAR, -10 * YEAR))
def test_connections_and_copies_of_requests_outlive_a_jump(hub, clock, jump):
    hub.start()
    profile = hub.create_profile()
    connection = hub.connect()
    first = exchange(connection, "POST", PROVISION, profile.request("boiler"))
    hub.guard_answer(first.body)
    socket = connection.sock
    with Peer(hub, timeout=5) as peer:
        request = peer.request(profile.request())  # without a name each new request is another device
        peer.send(request)
        told = peer.receive()
        clock.jump(jump)
        time.sleep(0.3)
        assert exchange(connection, "POST", PROVISION, profile.request("boiler")).body == first.body
        assert connection.sock is socket, "the connection was closed"
        peer.send(request)
        assert peer.receive() == told
    connection.close()
    assert hub.status()["devices"] == 2


def test_a_clock_that_never_stands_still_loses_no_answer(hubs, brokers, clock):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(f"mqtt.url={broker.url}")
    hub.environment |= clock.environment
    hub.start().connected()
    profile = hub.create_profile(maxDevices=1_000_000)
    load, dice, end = Load(hub, profile, "d", broker), random.Random(1), time.monotonic() + 3
    while time.monotonic() < end:
        clock.set(int(dice.choice((-1, 1)) * 2 ** dice.uniform(0, 63)))
        time.sleep(0.003)
    assert hub.status()["mqtt"]["state"] == "connected" and hub.stderr.count("connected to") == 1
    load.over.set()
    hub.kill9()
    load.join()
    assert all(load.faces[face] > 20 for face in ("http", "coap", "mqtt")), load.faces
    lines = records(hub)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    hub.start()
    devices = {device["name"]: device for device in hub.devices()}
    assert load.answered.keys() <= devices.keys()
    for name in load.last:
        answer = hub.provision(profile.request(name)).json
        assert (answer["deviceId"], answer["credentialsValue"]) == load.answered[name]


@pytest.mark.parametrize("jump", (10 * YEAR, -10 * YEAR))
def test_a_connection_to_the_broker_outlives_a_jump_and_comes_back_in_time(hubs, brokers, clock, jump):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(f"mqtt.url={broker.url}", "mqtt.client-id=clocked")
    hub.environment |= clock.environment
    hub.start().connected()
    profile = hub.create_profile()
    clock.jump(jump)
    device = MQTTDevice(broker, hub)
    device.subscribe("/provision/response/+")
    assert device.provision(profile.request("boiler"), "1")["status"] == "SUCCESS"
    device.close()
    broker.stop()
    eventually(lambda: hub.status()["mqtt"]["state"] != "connected")
    clock.jump(-2 * jump)
    began = time.monotonic()
    broker.start()
    hub.connected(30)
    assert time.monotonic() - began < 20, "the first waits of the back-off are short"
    assert hub.stderr.count("connected to") == 2, hub.stderr
    clock.jump(jump)
    eventually(lambda: "Received PINGREQ from clocked" in broker.log, 20, every=0.2)
    assert hub.status()["mqtt"]["state"] == "connected"


@pytest.mark.parametrize("jump", (10 * YEAR, -10 * YEAR))
def test_a_late_coap_answer_is_sent_again_whatever_the_clock_does(hub, clock, jump):
    slow, rules = faultline.environment(hub.state), hub.directory / "rules"
    rules.touch()
    hub.environment |= slow | {"LD_PRELOAD": f"{slow['LD_PRELOAD']} {clock.environment['LD_PRELOAD']}"}
    hub.environment["FAULT_RULES_FILE"] = str(rules)
    hub.start()
    profile = hub.create_profile()
    rules.write_text("sync/devices*:*:delay=3000")  # well behind the second after which a device is told to wait
    with Peer(hub, timeout=20) as peer:
        request = peer.request(profile.request("boiler"))
        peer.send(request)
        clock.jump(jump)
        empty = peer.receive()
        assert (empty.kind, empty.code, empty.mid) == (ACK, 0, request.mid)
        late = peer.receive()
        assert (late.kind, late.text, late.token) == (CON, "2.01", request.token)
        clock.jump(-2 * jump)
        rules.write_text("")
        again = peer.receive()  # nobody has acknowledged it: after 2 to 3 s it comes again (RFC 7252 4.2)
        assert again == late
        peer.send(Message(ACK, 0, late.mid))
        assert peer.ask(profile.request("boiler")).json == late.json
