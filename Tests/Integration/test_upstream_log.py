"""upstream.jsonl on a disk that does not take it: nothing else waits, nothing is lost, and the hub never stands still."""

import os
import subprocess
import threading
import time

import pytest
import xxhash

import faultline
import journal
from harness import eventually
from test_disk_full import DISK_KIB, mounts_tmpfs
from upstream import FAST, becomes, percentile, row, rows, settings, settled, shown

STATES = 5000
STALL_SECONDS = 1  # far above what a loaded machine takes for an answer, far below what 5,000 lines at once would do


def stored(hub):
    """What upstream.jsonl says: the state of each device by its id, and how far upstream was told."""
    states, cursor = {}, None
    for line in journal.read(hub.state / "upstream.jsonl").records:
        if "cursor" in line.json:
            cursor = line.json["cursor"]
        elif line.json["op"] == "put":
            states[line.json["sync"]["device"]] = line.json["sync"]
        else:
            states.pop(line.json["sync"]["device"], None)
    return states, cursor


def line(text: str) -> bytes:
    """A line of a log of these members, with its checksum."""
    body = ("{" + text).encode()
    return body + b',"xxh3":"%s"}\n' % xxhash.xxh3_64_hexdigest(body).encode()


@pytest.fixture
def server(thingsboards):
    return thingsboards().start()


@pytest.fixture
def site(hubs, server):
    """A hub, a profile that both ends have, and the file of the disk's faults, which may change meanwhile."""
    hub = hubs(*settings("thingsboard", server.url, **FAST))
    file = hub.directory / "rules"
    file.touch()
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(file)}
    hub.start()
    profile = hub.create_profile("meters", maxDevices=100_000)
    server.tenant.add_profile("meters", profile.key, profile.secret)
    return hub, profile, file


@pytest.mark.parametrize(("code", "state"), [("ENOSPC", "full"), ("EIO", "failing")])
def test_a_write_that_fails_takes_nothing_else_back(site, server, code, state):
    hub, profile, file = site
    for name in ("before", "taken"):
        server.tenant.add_device(name, "meters", token=f"somebody-{name}")
    assert hub.provision(profile.request("before")).json["status"] == "SUCCESS"
    becomes(hub, "before", "refused")
    file.write_text(f"write/upstream*:*:{code}")
    assert hub.provision(profile.request("taken")).json["status"] == "SUCCESS"
    eventually(lambda: "tried again every" in hub.stderr)
    told = {}
    for number in range(20):
        answer = hub.provision(profile.request(f"d{number}")).json
        assert answer["status"] == "SUCCESS"
        told[f"d{number}"] = answer["credentialsValue"]
    status = hub.status()
    assert status["journal"]["state"] == "writing" and status["upstream"]["state"] == "suspended"
    assert "upstream.jsonl" in status["upstream"]["reason"] and "suspended since" in hub.cli("status").out
    assert row(hub, "taken")["id"] not in stored(hub)[0]
    # A decision of a person must not be lost, so it is refused.
    assert hub.cli("upstream", "retry", "before").code != 0
    assert row(hub, "before")["state"] == "refused"
    file.write_text("")
    eventually(lambda: shown(hub)["state"] != "suspended", 20, 0.1)
    assert settled(hub, confirmed=20)["refused"] == 2
    eventually(lambda: stored(hub)[1]["of"] == hub.status()["journal"]["devices"]["seq"], 10, 0.1)
    assert {one["id"] for one in rows(hub, "refused")} == set(stored(hub)[0])
    assert "the disk takes writes again" in hub.stderr
    asked = len(server.requests)
    hub.kill9()
    hub.start()
    settled(hub, confirmed=20)
    assert row(hub, "taken")["state"] == "refused" and len(server.requests) == asked
    for name, token in told.items():
        assert hub.provision(profile.request(name)).json["credentialsValue"] == token
    assert hub.cli("upstream", "retry", "before").code == 0


def test_a_sync_of_it_that_fails_stops_the_hub(site, server):
    hub, profile, file = site
    file.write_text("sync/upstream*:*:ENOSPC")
    told = hub.provision(profile.request("a")).json
    assert told["status"] == "SUCCESS"
    process, hub.process = hub.process, None
    assert process.wait(20) == 74
    last = hub.stderr.strip().splitlines()[-1]
    assert "upstream.jsonl" in last and "the hub stops" in last, last
    file.write_text("")
    hub.start()
    assert hub.provision(profile.request("a")).json == told


def test_thousands_of_states_do_not_hold_the_hub_up_when_there_is_room(site, server, capsys):
    hub, profile, file = site
    assert hub.provision(profile.request("first")).json["status"] == "SUCCESS"
    settled(hub, confirmed=1)
    hub.stop()
    # Of another upstream, so that all of them are to be forgotten.
    lines = journal.read(hub.state / "upstream.jsonl").records
    seq, durable = lines[-1].json["seq"], lines[-1].json["durable"]
    cursor = [one.json["cursor"] for one in lines if "cursor" in one.json][-1]
    with open(hub.state / "upstream.jsonl", "ab") as log:
        for number in range(STATES):
            seq += 1
            log.write(line(f'"seq":{seq},"durable":{durable},"at":"2026-11-24T16:20:22.123Z","op":"put","sync":{{'
                           f'"device":"i{number}","of":1,"state":"refused","reason":"FAILURE_UPSTREAM","since":1}}'))  # fmt: skip
        log.write(line(f'"seq":{seq + 1},"durable":{durable},"at":"2026-11-24T16:20:22.123Z","op":"put","cursor":{{'
                       f'"to":"journal mqtt://other:1883 ","of":1,"log":"{cursor["log"]}","devices":1}}'))  # fmt: skip
        log.write(line(f'"mark":"sync","durable":{seq + 1}'))
    file.write_text("write/upstream*:*:ENOSPC")
    hub.start()
    eventually(lambda: shown(hub)["state"] == "suspended", 20, 0.1)
    assert len(stored(hub)[0]) == STATES
    waited, over = [], threading.Event()

    def ask():
        while not over.is_set():
            began = time.monotonic()
            answer = hub.provision(profile.request(f"d{len(waited)}")).json
            assert answer["status"] == "SUCCESS", answer
            waited.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        time.sleep(1)
        before = len(waited)
        file.write_text("")
        eventually(lambda: shown(hub)["state"] != "suspended", 20, 0.05)
        eventually(lambda: not stored(hub)[0], 20, 0.2)
    finally:
        over.set()
        thread.join()
    with capsys.disabled():
        print(f"\n{STATES} states written beside {len(waited) - before} answers: "
              f"{percentile(waited[before:]) * 1000:.0f} ms in 99 %, {max(waited[before:]) * 1000:.0f} ms at most; "
              f"before that {max(waited[:before]) * 1000:.0f} ms at most")  # fmt: skip
    assert max(waited[before:]) < STALL_SECONDS
    settled(hub, confirmed=1 + len(waited), seconds=60)


@pytest.mark.skipif(os.geteuid() != 0, reason="not run: only root can mount")
def test_a_hub_that_finds_no_room_for_a_log_of_its_own_says_so_and_starts_later(hubs):
    """As after an update from a version that had none."""
    hub = hubs()
    if not mounts_tmpfs(hub.state, f"{DISK_KIB}k"):
        pytest.skip("this root may not mount")
    filler = hub.state / "filler"
    try:
        hub.start()
        profile = hub.create_profile()
        told = hub.provision(profile.request("a")).json
        hub.stop()
        for number, name in enumerate(("upstream", "admin")):
            (hub.state / f"{name}.jsonl").unlink()
            if name == "admin":  # beside no more than the head of the other one, as at a first start
                path = hub.state / "upstream.jsonl"
                path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
            with open(os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0) as file:
                while not os.statvfs(hub.state).f_bavail == 0:
                    file.seek(0, os.SEEK_END)
                    file.write(b"\0" * 512)
            before = (hub.state / "devices.jsonl").read_bytes()
            for _ in range(2):
                run = hub.refused()
                assert run.code == 74
                assert f"{name}.jsonl" in run.err and "make room on that disk" in run.err, run.err
            assert (hub.state / "devices.jsonl").read_bytes() == before
            filler.unlink()
            hub.start()
            assert hub.provision(profile.request("a")).json == told
            assert hub.provision(profile.request(f"late{number}")).json["status"] == "SUCCESS"
            hub.stop()
    finally:
        if hub.process is not None:
            hub.stop()
        subprocess.run(["umount", hub.state], check=True, timeout=10)
