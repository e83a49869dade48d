"""kill -9 at any moment: whoever was answered SUCCESS is there afterwards, with the same credentials.

NEARHUB_KILL_ROUNDS says how often (default 50).
"""

import http.client
import os
import random
import threading
import time

import pytest

import journal
from harness import PROVISION, exchange

ROUNDS = int(os.environ.get("NEARHUB_KILL_ROUNDS", "50"))
DEVICES_AT_ONCE = 4


class Load:
    """Devices that provision as fast as they can until their hub dies, and what they were told."""

    def __init__(self, hub, profile, label):
        self.answered: dict[str, tuple[str, str]] = {}
        self.last: list[str] = []
        self.unexpected: list[bytes] = []
        self.threads = [
            threading.Thread(target=self._run, args=(hub.address, profile, f"{label}-{number}"))
            for number in range(DEVICES_AT_ONCE)
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, address, profile, label):
        connection, number = http.client.HTTPConnection(*address, timeout=10), 0
        try:
            while True:
                name = f"{label}-{number}"
                answer = exchange(connection, "POST", PROVISION, profile.request(name))
                if answer.status != 200 or answer.json["status"] != "SUCCESS":
                    self.unexpected.append(answer.body)
                    return
                self.answered[name] = (answer.json["deviceId"], answer.json["credentialsValue"])
                number += 1
        except (OSError, http.client.HTTPException):
            if number:
                self.last.append(f"{label}-{number - 1}")
        finally:
            connection.close()

    def join(self):
        for thread in self.threads:
            thread.join()
        assert not self.unexpected, self.unexpected


def stored(log):
    """What a log says of every device: id and credentials."""
    return {name: (device["id"], device["credentials"]["id"]) for name, device in log.devices.items()}


@pytest.mark.timeout(60 + ROUNDS * 4)
def test_whoever_was_answered_is_there_after_kill_9(hub):
    dice = random.Random(os.environ.get("NEARHUB_KILL_SEED", str(ROUNDS)))
    profile = hub.create_profile(maxDevices=1_000_000)
    path = hub.state / "devices.jsonl"
    promised: dict[str, tuple[str, str]] = {}
    good_end, rounds_with_answers = 0, 0
    for number in range(ROUNDS):
        load = Load(hub, profile, f"r{number}")
        time.sleep(dice.uniform(0.005, 0.2))
        hub.kill9()
        load.join()
        log = journal.read(path, good_end)
        assert load.answered.items() <= stored(log).items(), f"round {number}: an answered device is missing"
        good_end = max([line.end for line in log.lines], default=good_end)
        promised |= load.answered
        rounds_with_answers += bool(load.answered)
        hub.start()
        for name in load.last:
            answer = hub.provision(profile.request(name)).json
            assert (answer["deviceId"], answer["credentialsValue"]) == load.answered[name]
    hub.stop()
    log = journal.read(path)
    log.verify()
    assert log.torn == b""
    assert promised.items() <= stored(log).items()
    print(f"\n{ROUNDS} kills, {len(promised)} devices answered, {len(log.devices)} stored")
    assert rounds_with_answers > ROUNDS // 2, "the load was too thin to prove anything"


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
