"""All faces meet in one place: who asks over HTTP, CoAP and MQTT is one device with one set of credentials."""

import itertools
import json
import threading

import pytest

import journal
from devices import MQTTDevice, over_coap, provision_over_coap
from harness import canary

CROWD = 51


@pytest.fixture
def broker(brokers):
    return brokers(plugin=False, anonymous=True).start()


@pytest.fixture
def hub(hubs, broker):
    """A hub with all three faces."""
    return hubs(f"mqtt.url={broker.url}").start().connected()


@pytest.fixture
def faces(hub, broker):
    """For each face a function that sends one request and returns the JSON of the answer."""
    device, numbers = MQTTDevice(broker, hub), itertools.count()
    device.subscribe("/provision/response/+")
    yield {
        "http": lambda request: hub.provision(request).json,
        "coap": lambda request: provision_over_coap(hub, request),
        "mqtt": lambda request: device.provision(request, f"f{next(numbers)}"),
    }
    device.close()


@pytest.mark.parametrize("order", list(itertools.permutations(["http", "coap", "mqtt"])), ids="-".join)
def test_the_same_request_over_each_face_gives_the_same_credentials(hub, profile, faces, order):
    answers = [faces[face](profile.request("boiler")) for face in order]
    assert [answer["status"] for answer in answers] == ["SUCCESS"] * 3
    assert len({answer["credentialsValue"] for answer in answers}) == 1
    assert len({answer["deviceId"] for answer in answers}) == 1
    assert [device["name"] for device in hub.devices()] == ["boiler"]


@pytest.mark.parametrize("members", [
    {"token": "tokenOfMyOwn"},
    {"credentialsType": "MQTT_BASIC", "username": "user-1", "password": "pw-1", "clientId": "client-1"},
    {"credentialsType": "X509_CERTIFICATE", "hash": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"},
    {"deviceName": "\u017c\u00f3\u0142w-\u65e5\u672c /+#"},
], ids=["token", "basic", "certificate", "name"])  # fmt: skip
def test_what_a_device_brings_is_understood_alike(hub, profile, faces, members):
    answers = [ask(profile.request("boiler", **members)) for ask in faces.values()]
    assert [answer["status"] for answer in answers] == ["SUCCESS"] * 3
    assert answers[0]["credentialsValue"] == answers[1]["credentialsValue"] == answers[2]["credentialsValue"]
    assert len(hub.devices()) == 1


def test_refusals_are_the_same_over_each_face(hub, profile, faces):
    hub.add_device("taken", profile)
    for request in [profile.request("taken"), profile.request("x", provisionDeviceSecret=canary("wrong"))]:
        answers = [ask(request) for ask in faces.values()]
        assert answers[0] == answers[1] == answers[2]


def test_http_and_coap_carry_the_same_bytes(hub, profile, faces):
    request = profile.request("boiler")
    body = hub.provision(request).body
    assert over_coap(hub, json.dumps(request).encode()).payload == body


def test_a_device_that_an_operator_prepared_gets_its_credentials_over_any_face(hub, faces):
    profile = hub.create_profile("prepared", strategy="CHECK_PRE_PROVISIONED_DEVICES")
    hub.add_device("boiler", profile)
    token = hub.credentials("boiler")["credentialsId"]
    hub.guard(token)
    for ask in faces.values():
        assert ask(profile.request("boiler"))["credentialsValue"] == token


def test_fifty_at_once_over_all_faces_are_one_device(hub, profile, faces):
    barrier, answers = threading.Barrier(CROWD), []

    def device(ask):
        barrier.wait()
        answers.append(ask(profile.request("boiler")))

    threads = [threading.Thread(target=device, args=(ask,)) for _ in range(CROWD // 3) for ask in faces.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer["status"] for answer in answers] == ["SUCCESS"] * CROWD
    assert len({answer["credentialsValue"] for answer in answers}) == 1
    assert len(hub.devices()) == 1
    hub.stop()
    log = journal.read(hub.state / "devices.jsonl")
    log.verify()
    assert list(log.devices) == ["boiler"]


def test_a_repeat_over_another_face_is_answered_after_a_restart(hub, profile, faces):
    first = faces["coap"](profile.request("boiler"))
    hub.restart().connected()
    for ask in faces.values():
        assert ask(profile.request("boiler"))["credentialsValue"] == first["credentialsValue"]
