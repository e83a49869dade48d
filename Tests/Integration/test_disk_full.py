"""A disk without room: changes are refused, all else goes on, and service resumes by itself when there is room."""

import contextlib
import json
import os
import subprocess
import threading

import pytest

import journal
from devices import MQTTDevice, over_coap
from harness import eventually

DISK_KIB = 64
RETRY_SECONDS = 5
CROWD = 24


def mounts_tmpfs(path, size) -> bool:
    """Mounts a small file system there; false for users, and for a root in a container, who may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", path]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, timeout=10).returncode == 0


class Disk:
    """What fills up under a hub: a small tmpfs, or, for users who may not mount, a limit of the size of files."""

    def __init__(self, hub):
        self.hub = hub
        self.filler = hub.state / "filler"
        self.is_mounted = mounts_tmpfs(hub.state, f"{DISK_KIB}k")

    def fill(self):
        """Leaves not one free block."""
        if not self.is_mounted:  # what it says is lost then: stderr is a file too
            return self._limit((self.hub.state / "devices.jsonl").stat().st_size)
        with open(os.open(self.filler, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 512)

    def free(self):
        if self.is_mounted:
            self.filler.unlink()
        else:
            self._limit("unlimited")

    def close(self):
        if self.hub.process is not None:
            self.hub.stop()
        if self.is_mounted:
            subprocess.run(["umount", self.hub.state], check=True, timeout=10)

    def _limit(self, size):
        subprocess.run(["prlimit", f"--pid={self.hub.pid}", f"--fsize={size}:"], check=True, timeout=10)


@pytest.fixture
def broker(brokers):
    return brokers(plugin=False, anonymous=True).start()


@pytest.fixture
def hub(hubs, broker):
    return hubs(f"mqtt.url={broker.url}")


@pytest.fixture
def disk(hub):
    disk = Disk(hub)
    hub.start().connected()
    yield disk
    disk.close()


def fill_up(hub, disk, profile, names):
    """Fills the disk, then provisions until there is no room; the answers of those that found some."""
    disk.fill()
    answers = {}
    for number in range(40):  # what is left of the last block
        name = f"{names}{number}"
        answer = hub.provision(profile.request(name))
        assert answer.status == 200
        if answer.json["status"] == "FAILURE":
            assert answer.json["reason"] == "STORAGE"
            return answers, name
        answers[name] = answer.json
    raise AssertionError("the disk is not full")


def resumed(hub):
    eventually(lambda: hub.status()["journal"]["state"] == "writing", RETRY_SECONDS + 15, every=0.1)


def said(hub, words):
    return sum(words in line for line in hub.stderr.splitlines())


def test_changes_are_refused_and_all_else_goes_on_until_there_is_room(hub, disk):
    profile = hub.create_profile()
    before = {name: hub.provision(profile.request(name)).json for name in ("a", "b")}
    found, refused = fill_up(hub, disk, profile, "late")
    durable = before | found

    status = hub.status()
    assert status["journal"]["state"] == "full"
    assert "full since" in hub.cli("status").out
    assert hub.http("GET", "/health").status == 200
    for name, answer in durable.items():
        assert hub.provision(profile.request(name)).json == answer  # a repeat
    assert hub.device(refused) is None
    assert {device["name"] for device in hub.devices()} == set(durable)
    assert status["devices"] == len(durable)
    log = journal.read(hub.state / "devices.jsonl")
    log.verify()
    assert log.torn == b""
    assert set(log.devices) == set(durable)

    disk.free()
    resumed(hub)
    assert hub.provision(profile.request(refused)).json["status"] == "SUCCESS"
    if disk.is_mounted:
        assert (said(hub, "the disk is full"), said(hub, "takes writes again")) == (1, 1)
    hub.restart()
    assert {device["name"] for device in hub.devices()} == {*durable, refused}
    for name, answer in durable.items():
        assert hub.provision(profile.request(name)).json["credentialsValue"] == answer["credentialsValue"]


def test_every_face_says_storage(hub, disk, broker):
    profile, unused = hub.create_profile(), hub.create_profile("unused")
    fill_up(hub, disk, profile, "d")
    answer = over_coap(hub, json.dumps(profile.request("over CoAP")).encode())
    assert answer.code.dotted == "5.03"
    device = MQTTDevice(broker, hub)
    try:
        device.subscribe("/provision/response/+")
        answer = device.provision(profile.request("over MQTT"), "1")
    finally:
        device.close()
    assert (answer["status"], answer["reason"]) == ("FAILURE", "STORAGE")
    for path, body in [
        ("/api/device", {"name": "by an operator", "type": profile.name}),
        ("/api/deviceProfile", {"name": "Q", "type": "DEFAULT", "transportType": "DEFAULT", "provisionType": "DISABLED",
                                "profileData": {}}),
    ]:  # fmt: skip
        assert hub.admin("POST", path, body).status == 507
    assert hub.admin("DELETE", f"/api/deviceProfile/{unused.id}").status == 507
    disk.free()
    resumed(hub)
    assert "by an operator" not in {device["name"] for device in hub.devices()}


def test_a_crowd_that_runs_into_the_end_of_the_disk_gets_true_answers(hub, disk):
    profile = hub.create_profile()
    rounds = 4 if disk.is_mounted else 1  # more would fill the 64 KiB themselves
    promised, refused = {}, set()
    for number in range(rounds):
        disk.fill() if number % 2 == 0 or not disk.is_mounted else None
        barrier = threading.Barrier(CROWD)

        def ask(name):
            barrier.wait()
            answer = hub.provision(profile.request(name)).json
            if answer["status"] == "SUCCESS":
                promised[name] = answer["credentialsValue"]
            else:
                assert answer["reason"] == "STORAGE"
                refused.add(name)

        threads = [threading.Thread(target=ask, args=(f"r{number}d{one}",)) for one in range(CROWD)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {device["name"] for device in hub.devices()} == set(promised)
        if number % 2 == 0:
            disk.free()
            resumed(hub)
    assert len(promised) + len(refused) == rounds * CROWD and refused
    hub.kill9()
    hub.start()
    assert {device["name"] for device in hub.devices()} == set(promised)
    for name, token in promised.items():
        assert hub.provision(profile.request(name)).json["credentialsValue"] == token


def test_a_hub_stops_and_starts_on_a_full_disk(hub, disk):
    profile = hub.create_profile()
    answer = hub.provision(profile.request("a")).json
    found, refused = fill_up(hub, disk, profile, "d")
    hub.restart()
    if not disk.is_mounted:
        disk.fill()
    assert hub.provision(profile.request("a")).json == answer
    assert {device["name"] for device in hub.devices()} == {"a", *found}
    answer = hub.provision(profile.request(refused)).json
    assert (answer["status"], answer["reason"]) == ("FAILURE", "STORAGE")
    disk.free()
    resumed(hub)
    assert hub.provision(profile.request(refused)).json["status"] == "SUCCESS"


def leave(hub, kib):
    """Fills a small file system until so much is free."""
    filler = hub.state / "filler"
    free = os.statvfs(hub.state)
    length = free.f_bavail * free.f_frsize - (kib << 10) + (filler.stat().st_size if filler.exists() else 0)
    with open(os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(bytes(length))


@pytest.mark.skipif(os.geteuid() != 0, reason="not run: only root can mount")
def test_room_is_kept_for_a_compaction_and_the_audit_log_gives_way_first(hubs):
    """Without it a full disk could never be emptied."""
    hub = hubs()
    if not mounts_tmpfs(hub.state, "20m"):
        pytest.skip("this root may not mount")
    filler = hub.state / "filler"
    try:
        hub.start()
        profile = hub.create_profile()
        told = hub.provision(profile.request("early")).json
        leave(hub, 3000)
        eventually(lambda: hub.provision(profile.request("a" + os.urandom(4).hex())).json and "audit log takes no lines" in hub.stderr)
        assert hub.status()["journal"]["state"] == "writing"
        leave(hub, 900)
        eventually(lambda: hub.status()["journal"]["state"] == "full", 20, every=0.3)
        assert "are kept so that the log can be compacted" in hub.status()["journal"]["reason"]
        answer = hub.provision(profile.request("late")).json
        assert (answer["status"], answer["reason"]) == ("FAILURE", "STORAGE")
        assert hub.admin("POST", "/api/device", {"name": "late", "type": profile.name}).status == 507
        assert hub.provision(profile.request("early")).json == told
        path = f"/api/plugins/telemetry/DEVICE/{hub.device('early')['id']['id']}/attributes/SERVER_SCOPE"
        assert hub.admin("POST", path, {"floor": 3}).status == 200
        assert said(hub, "new devices are refused") == 1
        filler.unlink()
        eventually(lambda: hub.status()["journal"]["state"] == "writing", 20, every=0.3)
        assert hub.provision(profile.request("late")).json["status"] == "SUCCESS"
        assert said(hub, "has room again") == 1
    finally:
        if hub.process is not None:
            hub.stop()
        subprocess.run(["umount", hub.state], check=True, timeout=10)


@pytest.mark.skipif(os.geteuid() != 0, reason="not run: only root can mount")
def test_the_room_that_is_kept_is_that_of_what_is_live(hubs):
    """Of devices that are longer than most: the compaction that would make room must have it."""
    hub = hubs()
    if not mounts_tmpfs(hub.state, "20m"):
        pytest.skip("this root may not mount")
    try:
        hub.start()
        profile = hub.create_profile()
        for number in range(90):
            device = hub.add_device(f"d{number}", profile)["id"]["id"]
            path = f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE"
            for version in range(2):
                hub.ask("POST", path, {"note": "n" * 20_000, "version": version})
        assert hub.cli("log", "compact").code == 0
        live = (hub.state / "devices.jsonl").stat().st_size
        assert live > 90 * 20_000
        leave(hub, (live >> 10) + 900)  # a compaction wants a MiB beside its log
        eventually(lambda: hub.status()["journal"]["state"] == "full", 20, every=0.3)
        answer = hub.provision(profile.request("late")).json
        assert (answer["status"], answer["reason"]) == ("FAILURE", "STORAGE")
        leave(hub, (live >> 10) + 1400)
        eventually(lambda: hub.status()["journal"]["state"] == "writing", 20, every=0.3)
        assert hub.provision(profile.request("late")).json["status"] == "SUCCESS"
        hub.ask("POST", path, {"note": "n" * 20_000, "version": 2})
        assert hub.cli("log", "compact").code == 0, "the room that was kept is not enough"
    finally:
        if hub.process is not None:
            hub.stop()
        subprocess.run(["umount", hub.state], check=True, timeout=10)
