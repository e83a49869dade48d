"""kill -9 at any moment: whoever was answered SUCCESS over any face is there afterwards, with the same credentials.

NEARHUB_KILL_ROUNDS says how often (default 50).
"""

import collections
import contextlib
import http.client
import itertools
import os
import random
import threading
import time

import pytest

import journal
from coap import Peer
from devices import MQTTDevice
from harness import PROVISION, exchange

ROUNDS = int(os.environ.get("NEARHUB_KILL_ROUNDS", "50"))
DEVICES_AT_ONCE = {"http": 2, "coap": 2, "mqtt": 1}
ANSWER_SECONDS = 0.1  # after which a device that got no answer asks again


class Load:
    """Devices that provision as fast as they can until their hub dies, and what they were told."""

    def __init__(self, hub, profile, label, broker=None):
        self.hub = hub
        self.profile = profile
        self.broker = broker
        self.answered: dict[str, tuple[str, str]] = {}
        self.faces = collections.Counter()
        self.last: list[str] = []
        self.unexpected: list[dict] = []
        self.over = threading.Event()
        ways = {"http": self._ask_http, "coap": self._ask_coap, "mqtt": self._ask_mqtt}
        self.threads = [
            threading.Thread(target=self._run, args=(face, ways[face], f"{label}{face[0]}{number}"))
            for face, devices in DEVICES_AT_ONCE.items()
            for number in range(devices if face != "mqtt" or broker else 0)
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, face, way, label):
        """One device after the other; `way` makes a generator that asks once for each name sent to it."""
        with contextlib.closing(way(label)) as asks:
            next(asks)
            name = None
            for number in itertools.count():
                asked, answer = f"{label}-{number}", None
                while answer is None and not self.over.is_set():
                    answer = asks.send(asked)
                if answer is None:
                    break
                if answer.get("status") != "SUCCESS" or "deviceId" not in answer:
                    self.unexpected.append(answer)
                    break
                name = asked
                self.answered[name] = (answer["deviceId"], answer["credentialsValue"])
                self.faces[face] += 1
            if name is not None:
                self.last.append(name)

    def _ask_http(self, label):
        connection, answer = http.client.HTTPConnection(*self.hub.address, timeout=10), None
        try:
            while True:
                name = yield answer
                try:
                    answer = exchange(connection, "POST", PROVISION, self.profile.request(name)).json
                except (OSError, http.client.HTTPException):
                    connection.close()
                    self.over.wait(0.01)
                    answer = None
        finally:
            connection.close()

    def _ask_coap(self, label):
        answer = None
        with Peer(self.hub, timeout=ANSWER_SECONDS) as peer:
            while True:
                name = yield answer
                try:
                    answer = peer.ask(self.profile.request(name)).json
                except OSError:
                    self.over.wait(0.01)
                    answer = None

    def _ask_mqtt(self, label):
        device, answer = MQTTDevice(self.broker), None
        try:
            device.subscribe("/provision/response/+")
            for number in itertools.count():
                name = yield answer
                serial = f"{label}-{number}"  # of each request, since the answer to one that was given up may come late
                device.messages.clear()
                device.publish(f"/provision/request/{serial}", self.profile.request(name))
                try:
                    answer = device.message(f"/provision/response/{serial}", ANSWER_SECONDS).json
                except AssertionError:
                    answer = None
        finally:
            device.close()

    def join(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.unexpected, self.unexpected


def stored(log):
    """What a log says of every device: id and credentials."""
    return {name: (device["id"], device["credentials"]["id"]) for name, device in log.devices.items()}


@pytest.mark.timeout(60 + ROUNDS * 4)
def test_whoever_was_answered_is_there_after_kill_9(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(f"mqtt.url={broker.url}").start().connected()
    dice = random.Random(os.environ.get("NEARHUB_KILL_SEED", str(ROUNDS)))
    profile = hub.create_profile(maxDevices=1_000_000)
    path = hub.state / "devices.jsonl"
    promised: dict[str, tuple[str, str]] = {}
    good_end, rounds_with_answers, faces = 0, 0, collections.Counter()
    for number in range(ROUNDS):
        load = Load(hub, profile, f"r{number}", broker)
        time.sleep(dice.uniform(0.005, 0.12))
        hub.kill9()
        load.join()
        log = journal.read(path, good_end)
        there = stored(log)
        assert load.answered.keys() <= there.keys(), f"round {number}: an answered device is missing"
        assert load.answered.items() <= there.items(), f"round {number}: an answered device has another identity"
        good_end = max([line.end for line in log.lines], default=good_end)
        promised |= load.answered
        rounds_with_answers += bool(load.answered)
        faces += load.faces
        hub.start().connected()
        for name in load.last:
            answer = hub.provision(profile.request(name)).json
            assert (answer["deviceId"], answer["credentialsValue"]) == load.answered[name]
    hub.stop()
    log = journal.read(path)
    log.verify()
    assert log.torn == b""
    assert promised.items() <= stored(log).items()
    print(f"\n{ROUNDS} kills, {len(promised)} devices answered ({dict(faces)}), {len(log.devices)} stored")
    assert rounds_with_answers > ROUNDS // 2, "the load was too thin to prove anything"
    assert all(faces[face] >= ROUNDS // 2 for face in DEVICES_AT_ONCE), faces


def test_a_kill_during_recovery_loses_nothing(hub):
    profile = hub.create_profile(maxDevices=1_000_000)
    load = Load(hub, profile, "first")
    time.sleep(0.3)
    hub.kill9()
    load.join()
    dice = random.Random(1)
    for _ in range(10):
        process = hub.spawn()
        time.sleep(dice.uniform(0.001, 0.06))
        process.kill()
        process.wait()
    hub.start()
    log = journal.read(hub.state / "devices.jsonl")
    log.verify()
    assert load.answered.items() <= stored(log).items()
    assert hub.status()["devices"] == len(log.devices)


def test_profiles_survive_kill_9(hub):
    made = [hub.create_profile(f"P{number}", repeatWindow=number + 1) for number in range(20)]
    shown = hub.ask("GET", "/api/deviceProfiles?pageSize=100&page=0")
    hub.kill9()
    hub.start()
    assert hub.ask("GET", "/api/deviceProfiles?pageSize=100&page=0") == shown
    for profile in made:
        assert hub.ask("GET", f"/api/deviceProfile/{profile.id}") == profile.json


def test_a_device_added_by_an_operator_survives_kill_9(hub, profile):
    device = hub.add_device("boiler", profile, state="provisioned")
    credentials = hub.credentials("boiler")
    hub.guard(credentials["credentialsId"])
    hub.kill9()
    hub.start()
    assert hub.device("boiler")["id"] == device["id"]
    assert hub.credentials("boiler") == credentials
    assert hub.attributes("boiler") == {"provisionState": "provisioned"}
