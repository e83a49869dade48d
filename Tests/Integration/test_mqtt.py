"""MQTT through a plain broker: answers only where they are private (protocol.md 7.5, D12)."""

import itertools
import json
import socket
import statistics
import struct
import time

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from devices import MQTTDevice
from harness import canary, eventually

ROUND_TRIPS = 60
EVERYTHING = ("#", "/provision/#", "/provision/request", "/provision/response", "/provision/response/+", "$SYS/#")


@pytest.fixture
def broker(brokers):
    """A plain, open broker that writes its database file at every change."""
    return brokers(plugin=False, anonymous=True, persistence=True).start()


@pytest.fixture
def hub_with(hubs, broker):
    """Starts a hub at the broker; `hub_with("mqtt.version=3.1.1")`."""
    return lambda *settings: hubs(f"mqtt.url={broker.url}", *settings).start().connected()


@pytest.fixture
def hub(hub_with):
    return hub_with()


@pytest.fixture
def devices(broker):
    """Makes devices at the broker: `devices(hub, version=5)`."""
    made = []

    def make(hub=None, **options):
        made.append(MQTTDevice(broker, hub, **options))
        return made[-1]

    yield make
    for device in made:
        device.close()


def after_the_hub(device, numbers=itertools.count()):
    """Waits until the hub has answered all requests that came before: decided, on disk, and on their way."""
    ask_marker(device, next(numbers))
    eventually(lambda: (devices := device.hub.status()["journal"]["devices"])["seq"] == devices["durable"])
    ask_marker(device, next(numbers))


def ask_marker(device, number):
    """A request that is refused at once."""
    device.subscribe(f"/provision/response/marker{number}")
    assert device.provision(b"{}", f"marker{number}")["reason"] == "MALFORMED"


def without_markers(messages):
    return [message for message in messages if "/marker" not in message.topic]


def is_refusal_without_secret(answer):
    """PRIVATE_ANSWER_IMPOSSIBLE, and nothing that belongs to a device."""
    assert (answer["status"], answer["reason"]) == ("FAILURE", "PRIVATE_ANSWER_IMPOSSIBLE")
    assert answer["errorMsg"]
    return not answer.keys() & {"credentialsValue", "credentialsId", "credentialsType", "deviceId", "deviceName"}


# The plain topic


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_the_plain_topic_is_refused_without_the_plugin(hub, profile, devices, version):
    device = devices(hub, version=version)
    device.subscribe("/provision/response")
    device.publish("/provision/request", profile.request("boiler"), 1)
    assert is_refusal_without_secret(device.message().json)
    after_the_hub(device)
    assert len(without_markers(device.messages)) == 1
    assert not hub.devices()


def test_the_plain_topic_gives_no_credentials_that_exist_away(hub, profile, devices):
    hub.add_device("prepared", hub.create_profile("prepared", strategy="CHECK_PRE_PROVISIONED_DEVICES"))
    prepared = hub.create_profile("prepared too", strategy="CHECK_PRE_PROVISIONED_DEVICES")
    hub.add_device("waiting", prepared)
    hub.provision(profile.request("boiler"))
    device = devices(hub)
    device.subscribe("/provision/response")
    for request in (profile.request("boiler"), prepared.request("waiting")):
        device.messages.clear()
        device.publish("/provision/request", request, 1)
        assert is_refusal_without_secret(device.message().json)
    assert "provisionState" not in hub.attributes("waiting")


def test_shared_responses_answer_there_and_are_warned_of_at_start(hub_with, devices):
    hub = hub_with("mqtt.shared-responses=yes")
    warnings = [line for line in hub.stderr.splitlines() if line.startswith("<4>") and "shared-responses" in line]
    assert len(warnings) == 1
    profile, device = hub.create_profile(), devices(hub)
    device.subscribe("/provision/response")
    device.publish("/provision/request", profile.request("boiler"))
    answer = device.message("/provision/response").json
    assert (answer["status"], answer["credentialsValue"]) == ("SUCCESS", hub.credentials("boiler")["credentialsId"])


def test_without_shared_responses_nothing_is_warned_of(hub):
    assert "shared-responses" not in hub.stderr


# A topic of the device's own


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_request_on_a_topic_of_its_own_is_answered_beside_it(hub, profile, devices, version, qos):
    device = devices(hub, version=version)
    device.subscribe("/provision/response/+", 2)
    answer = device.provision(profile.request("boiler"), "me", qos)
    assert answer["credentialsValue"] == hub.credentials("boiler")["credentialsId"]
    after_the_hub(device)
    mine = [message for message in device.messages if message.topic == "/provision/response/me"]
    assert [(message.qos, message.retain) for message in mine] == [(0, False)]


@pytest.mark.parametrize("level", ["żółw-日本", "a b", " ", "%c", "x" * 200, "$SYS", "{}", "response"])
def test_the_topic_may_be_called_anything(hub, profile, devices, level):
    device = devices(hub)
    device.subscribe(f"/provision/response/{level}")
    assert device.provision(profile.request("boiler"), level)["status"] == "SUCCESS"


@pytest.mark.parametrize("topic", [
    "provision/request", "/provision/requests", "/provision/request/a/b", "/provision/request/", "//provision/request",
    "/Provision/Request/a", "/provision/response/a", "/provision/request/" + "x" * 300,
])  # fmt: skip
def test_other_topics_are_not_the_hubs(hub, profile, devices, topic):
    device, spy = devices(hub), devices(hub)
    spy.subscribe("#")
    device.publish(topic, profile.request("boiler"), 1)
    after_the_hub(device)
    eventually(lambda: sum(b"MALFORMED" in message.payload for message in spy.messages) >= 2)
    assert not [message for message in without_markers(spy.messages) if b'"status"' in message.payload]
    assert not hub.devices()


def test_a_device_that_does_not_listen_loses_only_its_answer(hub, profile, devices):
    device = devices(hub)
    device.publish("/provision/request/deaf", profile.request("boiler"), 1)
    device.subscribe("/provision/response/later")
    answer = device.provision(profile.request("boiler"), "later")
    assert answer["credentialsValue"] == hub.credentials("boiler")["credentialsId"]


# MQTT 5: Response Topic and Correlation Data


@pytest.mark.parametrize("topic", ["dev/1/resp", "x", "/a//b/", "żółw", "provision/response", "r" * 255])
@pytest.mark.parametrize("correlation", [None, b"\x01\x02", bytes(range(256)) * 4], ids=["none", "short", "long"])
def test_a_response_topic_is_used_where_it_is_private(hub_with, devices, topic, correlation):
    hub = hub_with("mqtt.response-topics=yes")
    profile, device = hub.create_profile(), devices(hub, version=5)
    device.subscribe(topic)
    device.subscribe("/provision/response")
    device.publish(
        "/provision/request", profile.request("boiler"), 1, response_topic=topic, correlation_data=correlation
    )
    answer = device.message()
    assert (answer.topic, answer.json["status"], answer.correlation_data) == (topic, "SUCCESS", correlation)
    after_the_hub(device)
    assert len(without_markers(device.messages)) == 1


def test_a_response_topic_is_not_used_unless_configured(hub, profile, devices):
    device = devices(hub, version=5)
    for topic in ("dev/1/resp", "/provision/response/#"):
        device.subscribe(topic)
    device.subscribe("/provision/response")
    device.publish("/provision/request", profile.request("boiler"), 1, response_topic="dev/1/resp")
    answer = device.message()
    assert answer.topic == "/provision/response" and is_refusal_without_secret(answer.json)
    device.publish("/provision/request/a", profile.request("pump"), 1, response_topic="dev/1/resp")
    assert device.message("/provision/response/a").json["status"] == "SUCCESS"
    assert not [message for message in device.messages if message.topic == "dev/1/resp"]
    assert [device["name"] for device in hub.devices()] == ["pump"]


def test_correlation_data_is_echoed_on_a_topic_of_its_own(hub, profile, devices):
    device = devices(hub, version=5)
    device.subscribe("/provision/response/a")
    device.publish("/provision/request/a", profile.request("boiler"), 1, correlation_data=b"c1")
    assert device.message().correlation_data == b"c1"


@pytest.mark.parametrize("topic", [
    "$SYS/broker/x", "$nearhub/x", "$share/g/x", "/provision/request", "/provision/request/x", "/provision/response",
    "/provision/response/victim", "x" * 256, "x" * 60000, "+", "#", "a/+/b", "a/#", "dev+", "",
], ids=lambda topic: topic[:24] or "empty")  # fmt: skip
def test_a_bad_response_topic_gets_nothing(hub_with, broker, devices, topic):
    hub = hub_with("mqtt.response-topics=yes")
    profile, spy = hub.create_profile(), devices(hub)
    for everything in EVERYTHING:
        spy.subscribe(everything)
    attacker = devices(hub, version=5)
    attacker.client.publish("/provision/request", json.dumps(profile.request("boiler")), 0,
                            properties=response_topic_unchecked(topic))  # fmt: skip
    time.sleep(0.1)  # the broker may close the attacker's connection for it, so there is nothing to wait for
    after_the_hub(devices(hub))
    answers = [message for message in without_markers(spy.messages) if b'"status"' in message.payload]
    assert all(message.topic == "/provision/response" for message in answers), answers
    assert all(is_refusal_without_secret(message.json) for message in answers)
    assert not hub.devices()
    assert broker.process.poll() is None


def response_topic_unchecked(topic):
    """The properties of a PUBLISH with a Response Topic that no client library should let through."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "x"
    object.__setattr__(properties, "ResponseTopic", topic)
    return properties


# Retained, looping, oversized


@pytest.mark.parametrize("topic", ["/provision/request", "/provision/request/9"])
def test_a_retained_request_is_ignored_whenever_the_hub_comes(hub, profile, devices, topic):
    device = devices(hub)
    device.subscribe("/provision/response/#")
    hub.stop()
    device.publish(topic, profile.request("boiler"), 1, retain=True)
    for _ in range(2):
        hub.start().connected()
        after_the_hub(device)
        hub.stop()
    hub.start().connected()
    assert not without_markers(device.messages)
    assert not hub.devices()
    device.publish(topic, b"", 1, retain=True)


def test_the_hub_does_not_answer_itself(hub_with, devices):
    hub = hub_with("mqtt.response-topics=yes", "mqtt.shared-responses=yes")
    device = devices(hub, version=5)
    device.subscribe("/provision/#")
    for topic in ("/provision/request", "/provision/request/x", "/provision/response"):
        device.publish("/provision/request", b"{}", 1, response_topic=topic)
    after_the_hub(device)
    assert len([message for message in device.messages if message.topic == "/provision/response"]) == 3
    assert hub.status()["mqtt"]["requests"] == 3 + 2  # and the markers


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("size", [65_536, 65_537, 70_000, 1 << 20], ids=["64K", "64K+1", "70000", "1M"])
def test_a_payload_over_64_kib_is_refused_or_never_delivered(hub_with, devices, version, size):
    hub = hub_with(f"mqtt.version={version}")
    profile, device = hub.create_profile(), devices(hub)
    device.subscribe("/provision/response/+")
    request = profile.request("boiler", padding="")
    request["padding"] = "x" * (size - len(json.dumps(request)))
    device.publish("/provision/request/big", request, 1)
    after_the_hub(device)
    answers = [message.json for message in device.messages if message.topic == "/provision/response/big"]
    if size <= 65_536:
        assert answers[0]["status"] == "SUCCESS"
    else:
        assert all((answer["status"], answer["reason"]) == ("FAILURE", "MALFORMED") for answer in answers)
        assert not hub.devices()
    assert device.provision(profile.request("pump"), "small")["status"] == "SUCCESS"


def test_many_at_once_are_all_answered(hub, profile, devices):
    device = devices(hub)
    device.subscribe("/provision/response/+")
    for number in range(500):
        request = json.dumps(profile.request(f"d{number}"))
        device.client.publish(f"/provision/request/{number}", request, 1)
    answers = {number: device.message(f"/provision/response/{number}").json for number in range(500)}
    assert {answer["status"] for answer in answers.values()} == {"SUCCESS"}
    assert len({answer["credentialsValue"] for answer in answers.values()}) == 500
    assert hub.status()["devices"] == 500


def packet(kind, *parts):
    """A control packet of MQTT 3.1.1; texts get their length in front."""
    body = b"".join(struct.pack(">H", len(part)) + part.encode() if isinstance(part, str) else part for part in parts)
    length, left = b"", len(body)
    while left > 127:
        length, left = length + bytes([left % 128 | 128]), left // 128
    return bytes([kind]) + length + bytes([left]) + body


def test_a_burst_is_answered_in_full(hubs, brokers):
    broker = brokers(["max_queued_messages 0"], plugin=False, anonymous=True).start()
    hub = hubs(f"mqtt.url={broker.url}").start().connected()
    profile, count, listener = hub.create_profile(), 4000, MQTTDevice(broker)
    burst = [packet(0x10, "MQTT", bytes([4, 2, 0, 60]), "burst")]
    for number in range(count):
        request = json.dumps(profile.request(f"d{number}")).encode()
        burst.append(packet(0x30, f"/provision/request/x{number}", request))
    try:
        listener.subscribe("/provision/response/+", 0)
        with socket.create_connection((broker.host, broker.port)) as connection:
            connection.sendall(b"".join(burst))
            eventually(lambda: len(listener.messages) >= count, 60, every=0.2)
    finally:
        print(f"\n{len(listener.messages)} answers of {count}; requests and unsent answers: {counts(hub)}")
        listener.close()
    assert len({message.topic for message in listener.messages}) == count
    assert all(message.json["status"] == "SUCCESS" for message in listener.messages)
    assert counts(hub) == (count, 0)


def counts(hub):
    """How many requests have come, and how many answers could not be sent."""
    return (shown := hub.status()["mqtt"])["requests"], shown["unsent"]


def test_topics_stand_in_the_log_without_what_confuses_terminals(hub, profile, devices):
    device, level = devices(hub), "a\u202eb\u2028<3>c"
    device.subscribe(f"/provision/response/{level}")
    assert device.provision(profile.request("boiler"), level)["status"] == "SUCCESS"
    device.messages.clear()
    assert device.provision(b"{}", level)["reason"] == "MALFORMED"
    assert not {"\u202e", "\u2028"} & set(hub.stderr)
    assert hub.stderr.count("a\\u{202E}b\\u{2028}<3>c") == 2


# What the broker keeps


def test_no_answer_is_retained_queued_or_in_the_brokers_database(hub, profile, broker, devices):
    sleeper = MQTTDevice(broker, hub, client_id="sleeper", clean=False)
    sleeper.subscribe("/provision/response/+", 2)
    sleeper.close()
    device, token = devices(hub), canary("token")
    device.subscribe("/provision/response/+")
    hub.guard(token)
    broker.guard(token, profile.key, profile.secret)
    assert device.provision(profile.request("a", token=token), "a")["status"] == "SUCCESS"
    assert device.provision(profile.request("b"), "b")["status"] == "SUCCESS"
    broker.guard(hub.credentials("b")["credentialsId"])
    broker.save()
    eventually(broker.database_file.exists)
    time.sleep(1.2)  # its own interval
    sleeper = devices(hub, client_id="sleeper", clean=False)
    late = devices(hub)
    late.subscribe("#")
    late.subscribe("/provision/#")
    after_the_hub(device)
    assert not without_markers(sleeper.messages + late.messages)
    broker.restart()  # and judged again with what it writes when it stops


# Versions, speed


def test_the_hub_speaks_3_1_1_by_configuration(hub_with, broker, devices):
    hub = hub_with("mqtt.version=3.1.1", "mqtt.response-topics=yes")
    profile = hub.create_profile()
    for version in (4, 5):
        device = devices(hub, version=version)
        device.subscribe("/provision/response/a")
        assert device.provision(profile.request("boiler"), "a")["status"] == "SUCCESS"


def test_a_qos_1_round_trip_waits_for_no_delayed_acknowledgement(hub, profile, devices):
    device, seconds = devices(hub), {0: [], 1: []}
    device.subscribe("/provision/response/+", 0)
    for number in range(ROUND_TRIPS):
        for qos in seconds:
            began = time.perf_counter()
            assert device.provision(profile.request(f"d{number}-{qos}"), f"{number}-{qos}", qos)["status"] == "SUCCESS"
            seconds[qos].append(time.perf_counter() - began)
    once, acknowledged = (1000 * statistics.median(seconds[qos]) for qos in seconds)
    print(f"\nround trip: QoS 0 {once:.2f} ms, QoS 1 {acknowledged:.2f} ms")
    assert acknowledged < 5 * once
