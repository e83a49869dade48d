"""A disk that fails, stutters, takes its time or lies, under the real daemon; Tests/Faults/faultline.c breaks it."""

import concurrent.futures
import http.client
import json
import os
import random
import select
import statistics
import subprocess
import sys
import threading
import time

import pytest

import faultline
import journal
import workload
from coap import ACK, Message, Peer
from devices import MQTTDevice
from disk import Disk
from harness import Meanwhile, eventually
from promises import Promises
from powercut import IGNORED
from recovery import Machine, whole_log
from test_service import Supervisor

SLOW = 2.5  # seconds that a sync of a slow disk takes: longer than a loaded machine keeps anybody waiting
WATCHDOG = 1.0  # seconds; a loop that waited for the disk would feed it too late every time


def breaks(hub, rules, seed=1):
    """Makes the hub's disk do that from the next start on."""
    hub.environment |= faultline.environment(hub.state, rules=rules, seed=seed)


def heal(hub):
    """Gives the hub a disk that works."""
    for name in ("LD_PRELOAD", "FAULT_RULES"):
        hub.environment.pop(name, None)


def stored(hub):
    log = journal.read(hub.state / "devices.jsonl")
    log.verify()
    return {name: (device["id"], device["credentials"]["id"]) for name, device in log.devices.items()}


# An error from a sync: the hub stops, and recovers at its next start


@pytest.mark.parametrize("code", ("EIO", "ENOSPC", "EROFS"))
@pytest.mark.parametrize("number", (4, 9))
def test_a_sync_that_fails_stops_the_hub(hubs, code, number):
    hub = hubs()
    rules = f"fdatasync/devices*:{number}:{code}"
    site, status = workload.record_until_it_stops(hub, rules)
    assert status == 74
    last = hub.stderr.strip().splitlines()[-1]
    assert "devices.jsonl" in last and "fdatasync" in last, last
    heal(hub)
    hub.start()
    assert site.answered.items() <= stored(hub).items()
    for name, (identity, credentials) in site.answered.items():
        assert hub.device(name)["id"]["id"] == identity
        assert hub.credentials(name)["credentialsId"] == credentials
    assert hub.provision(site.profiles[0].request("another")).json["status"] == "SUCCESS"


@pytest.mark.parametrize("name", ("devices*", "profiles*", "state"))
def test_a_sync_that_fails_at_the_start_refuses_it(hubs, name):
    """The n-th sync fails, for every n until a start has no n-th one; then the disk works, and the next start does."""
    for number in range(1, 20):
        hub = hubs()
        breaks(hub, f"sync/{name}:{number}:EIO")
        process = hub.spawn()
        eventually(lambda: process.poll() is not None or " is ready" in hub.stderr, 15)
        if process.poll() is None:
            assert number > 1, "nothing was synced"
            heal(hub)
            hub.stop()
            return
        assert process.returncode == 74, hub.stderr
        assert "Input/output error" in hub.stderr
        hub.process = None
        heal(hub)
        hub.start().stop()
    raise AssertionError("more syncs than any start needs")


TORN = b'{"seq":2,"durable":1,"at":"2026-11-24T'


@pytest.fixture
def torn(hubs):
    """A hub that is stopped, with one device and the beginning of a line behind it."""
    hub = hubs()
    hub.start()
    hub.provision(hub.create_profile().request("a"))
    hub.stop()
    with open(hub.state / "devices.jsonl", "ab") as file:
        file.write(TORN)
    return hub


def test_a_torn_end_whose_copy_is_not_surely_on_disk_is_not_cut_off(torn):
    """ENOSPC from a sync is no lack of room that would let the start go on: what was written is lost."""
    hub = torn
    breaks(hub, "sync/devices.jsonl.torn*:*:ENOSPC")
    assert hub.refused().code == 74
    assert (hub.state / "devices.jsonl").read_bytes().endswith(TORN)
    heal(hub)
    hub.start()
    assert TORN in [path.read_bytes() for path in hub.state.glob("devices.jsonl.torn-*")]
    assert sorted(stored(hub)) == ["a"]


def test_a_torn_end_for_which_there_is_no_room_is_cut_off_all_the_same(torn):
    hub = torn
    breaks(hub, "write/devices.jsonl.torn*:*:ENOSPC")
    hub.start()
    assert f"{len(TORN)} bytes of an unfinished batch" in hub.stderr and "not kept" in hub.stderr
    assert sorted(stored(hub)) == ["a"] and not list(hub.state.glob("*.torn-*"))


# An error from a write: changes are refused, all else goes on


@pytest.fixture
def rules(hubs):
    """A running hub and the file of its disk's faults, which may change while it runs."""
    hub = hubs()
    file = hub.directory / "rules"
    file.touch()
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(file)}
    return hub.start(), file


@pytest.mark.parametrize(("code", "state"), [("EIO", "failing"), ("EROFS", "failing"), ("EDQUOT", "full")])
def test_a_write_that_fails_is_refused_until_one_succeeds(rules, code, state):
    hub, file = rules
    profile = hub.create_profile()
    before = hub.provision(profile.request("early")).json
    file.write_text(f"write/devices*:*:{code}")
    for name in ("a", "b"):
        answer = hub.provision(profile.request(name)).json
        assert (answer["status"], answer["reason"]) == ("FAILURE", "STORAGE")
    assert hub.status()["journal"]["state"] == state
    assert hub.http("GET", "/health").status == 200
    assert hub.provision(profile.request("early")).json == before
    assert hub.device("a") is None
    file.write_text("")
    eventually(lambda: hub.status()["journal"]["state"] == "writing", 20, every=0.1)
    assert hub.provision(profile.request("a")).json["status"] == "SUCCESS"
    hub.restart()
    assert sorted(stored(hub)) == ["a", "early"]


def test_a_write_that_cannot_be_cut_back_stops_the_hub(rules):
    """Half a line stays behind the last whole one: what comes next would be glued to it."""
    hub, file = rules
    profile = hub.create_profile()
    told = hub.provision(profile.request("early")).json
    file.write_text("write/devices*:1:short=40;write/devices*:1+:EIO;truncate/devices*:*:EIO")
    connection = hub.connect()
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.request("POST", "/api/v1/provision", body=json.dumps(profile.request("late")))
        connection.getresponse()
    connection.close()
    process, hub.process = hub.process, None
    assert process.wait(5) == 74
    last = hub.stderr.strip().splitlines()[-1]
    assert "devices.jsonl" in last and "the hub stops" in last, last
    file.write_text("")
    hub.start()
    assert hub.provision(profile.request("early")).json == told
    assert [len(path.read_bytes()) for path in hub.state.glob("devices.jsonl.torn-*")] == [40]
    assert hub.provision(profile.request("late")).json["status"] == "SUCCESS"


# Interrupted calls and short writes


def test_interrupted_and_short_writes_make_no_difference(hubs):
    hub = hubs()
    site = workload.Site(hub, "write:%30:short;write:%30:EINTR;truncate:%30:EINTR")
    hub.start()
    site.add_profile()
    site.load(1, "a").finish()
    assert not [answer for answer in site.refused if answer.get("reason") not in ("NAME_TAKEN", None)], site.refused
    hub.stop()
    assert len(site.answered) > 10
    assert site.answered.items() <= stored(hub).items()


# A slow disk


class Feeds(Meanwhile):
    """Counts how often the watchdog is fed; the notices must be read all the time, or the hub would wait for that."""

    def __init__(self, supervisor):
        super().__init__()
        self.supervisor, self.count = supervisor, 0

    def work(self):
        self.count += "WATCHDOG=1" in (self.supervisor.next(0.1) or ())


def readable(connection) -> bool:
    """Whether something was answered that nobody has read."""
    return bool(select.select([connection.sock], [], [], 0)[0])


@pytest.fixture
def watched(rules):
    """The hub of `rules`, which a watchdog looks after, and its supervisor."""
    hub, file = rules
    hub.stop()
    supervisor = Supervisor(hub)
    hub.environment["WATCHDOG_USEC"] = str(int(WATCHDOG * 1_000_000))
    hub.start()
    supervisor.wait_for("READY=1", 20)
    return hub, file, supervisor


def test_a_slow_sync_holds_up_nothing_but_the_answer(watched):
    hub, file, supervisor = watched
    profile = hub.create_profile()
    with Peer(hub, timeout=30) as peer, Feeds(supervisor) as feeds:
        for number in range(2):
            file.write_text(f"sync/devices*:*:delay={int(SLOW * 1000)}")
            began, before = time.monotonic(), feeds.count
            connection = hub.connect()
            connection.request("POST", "/api/v1/provision", body=json.dumps(profile.request(f"h{number}")))
            request = peer.request(profile.request(f"c{number}"))
            peer.send(request)
            asked = time.monotonic()
            assert hub.http("GET", "/health").status == 200
            assert time.monotonic() - asked < SLOW / 2, "/health waited for the disk"
            first = peer.receive()
            assert (first.kind, first.code, first.mid) == (ACK, 0, request.mid), "the device was left without a sign"
            assert time.monotonic() - began < SLOW, "the sign waited for the disk"
            assert not readable(connection), "answered before the disk can have had it"
            answer = connection.getresponse()
            assert time.monotonic() - began >= SLOW * 0.9, "answered before the disk can have had it"
            assert feeds.count - before >= SLOW / WATCHDOG, "the watchdog was not fed while the disk was slow"
            hub.guard_answer(body := answer.read())
            assert b"SUCCESS" in body
            connection.close()
            last = peer.receive()
            peer.send(Message(ACK, 0, last.mid))
            hub.guard_answer(last.payload)
            assert last.json["status"] == "SUCCESS"
            file.write_text("")
            assert hub.provision(profile.request(f"quick{number}")).json["status"] == "SUCCESS"


def test_under_load_a_slow_disk_starves_neither_the_watchdog_nor_the_broker(hubs, brokers, capsys):
    """For longer than the keep-alive of MQTT there is always a sync under way, and devices of three faces wait for it."""
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(f"mqtt.url={broker.url}", "mqtt.client-id=patient")
    supervisor = Supervisor(hub)
    file = hub.directory / "rules"
    file.touch()
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(file)}
    hub.environment["WATCHDOG_USEC"] = str(int(WATCHDOG * 1_000_000))
    hub.start().connected()
    profile = hub.create_profile()
    device = MQTTDevice(broker, hub)
    device.subscribe("/provision/response/+")
    file.write_text(f"sync/devices*:*:delay={int(SLOW * 1000)}")
    times, over = {"http": [], "coap": []}, threading.Event()

    def ask(face, number):
        with Peer(hub, timeout=30) as peer:
            count = 0
            while not over.is_set():
                count += 1
                request, asked = profile.request(f"{face}-{number}-{count}"), time.monotonic()
                answer = hub.provision(request).json if face == "http" else peer.ask(request).json
                if not over.is_set():  # the disk is quick again then
                    times[face].append(time.monotonic() - asked)
                assert answer["status"] == "SUCCESS"

    supervisor.wait_for("READY=1", 20)
    with Feeds(supervisor) as feeds, concurrent.futures.ThreadPoolExecutor() as threads:
        waiting = [threads.submit(ask, face, number) for face in times for number in range(3)]
        health = []
        try:
            asked = time.monotonic()
            device.publish("/provision/request/1", profile.request("mqtt"))
            assert device.message("/provision/response/1", 30).json["status"] == "SUCCESS"
            assert time.monotonic() - asked >= SLOW * 0.9, "answered before the disk can have had it"
            began, before = time.monotonic(), feeds.count
            while "Received PINGREQ from patient" not in broker.log or time.monotonic() - began < 4 * SLOW:
                assert time.monotonic() - began < 60, "no keep-alive while the disk was slow"
                asked = time.monotonic()
                assert hub.http("GET", "/health").status == 200
                health.append(time.monotonic() - asked)
                time.sleep(0.1)
            passed, count = time.monotonic() - began, feeds.count - before
        finally:
            over.set()
            file.write_text("")
            device.close()
        for one in waiting:
            one.result()
    assert hub.status()["mqtt"]["state"] == "connected" and hub.stderr.count("connected to") == 1
    assert min(min(some) for some in times.values()) >= SLOW * 0.9, "answered before the disk can have had it"
    assert count >= passed / WATCHDOG, f"the watchdog was fed {count} times in {passed:.1f} s"
    assert statistics.median(health) < SLOW / 4, "/health waits for the disk"
    with capsys.disabled():
        print(
            f"\na slow disk: the watchdog was fed {count} times in {passed:.1f} s; /health took "
            f"{statistics.median(health) * 1000:.0f} ms, {max(health) * 1000:.0f} ms at most; "
            f"{sum(map(len, times.values()))} answers after "
            f"{min(map(min, times.values())):.2f} to {max(map(max, times.values())):.2f} s",
            file=sys.stderr,
        )


# A disk that says it has what it has not


def test_a_lying_disk_is_named_when_a_witness_is_left(hubs, capsys):
    """Nothing survives such a disk, but where a later line proves that an earlier one is missing, no hub may start."""
    hub = hubs()
    site = workload.Site(hub, "fdatasync/devices*:4+:lie")
    hub.start()
    site.add_profile()
    site.load(0.8, "a").finish()
    hub.kill9()
    disk = Disk(faultline.read(site.trace), site.before, IGNORED)
    written = {line.json["seq"]: line.raw for line in journal.read(hub.state / "devices.jsonl").records}
    dice, machine = random.Random(1), Machine()
    refused = started = 0
    try:
        for cut in dice.sample(disk.cuts(), len(disk.cuts())):
            if refused > 5 and refused + started >= 90:
                break
            states = dict(disk.states(cut, dice, 8))
            for story in dice.sample(sorted(states), min(8, len(states))):
                machine.lay_out(states[story])
                found = machine.recover()
                if found.code is not None:
                    assert found.code == 65 and "devices.jsonl" in found.stderr, found.stderr
                    refused += 1
                    continue
                started += 1
                records = whole_log(found.tree["/devices.jsonl"]).records
                assert all(written[line.json["seq"]] == line.raw for line in records), story
                assert [line.json["seq"] for line in records] == list(range(1, len(records) + 1)), story
                assert all(line.json["durable"] <= len(records) for line in records), story
    finally:
        machine.close()
    with capsys.disabled():
        said = f"\na lying disk: {started} states start without a witness, {refused} are refused with one"
        print(said, file=sys.stderr)
    assert refused > 5 and Promises(disk, []).devices


# A disk that cannot be written


def test_a_start_on_a_read_only_disk_is_refused(hubs):
    hub = hubs()
    hub.start().stop()
    breaks(hub, "open/*.jsonl:*:EROFS")
    run = hub.refused()
    assert run.code == 74
    assert "Read-only file system" in run.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_start_on_a_file_system_mounted_read_only_is_refused(hubs):
    hub = hubs()
    hub.start()
    profile = hub.create_profile()
    told = hub.provision(profile.request("meter")).json
    hub.stop()
    if subprocess.run(["mount", "--bind", hub.state, hub.state], capture_output=True).returncode:
        pytest.skip("this root may not mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", hub.state], check=True, capture_output=True)
        run = hub.refused()
    finally:
        subprocess.run(["umount", hub.state], check=True)
    assert run.code == 74
    assert "Read-only file system" in run.err
    hub.start()
    assert hub.credentials("meter")["credentialsId"] == told["credentialsValue"]
