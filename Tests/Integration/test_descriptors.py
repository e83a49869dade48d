"""A hub that runs out of file descriptors, at its start or later: it says so, loses nothing, and goes on with more."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time

import pytest

import journal
from coap import Peer
from harness import PROVISION, UnixConnection, eventually, exchange
from test_compaction import attributes, compaction, fill, generation
from wire import post

LEAST = 65  # descriptors without which a hub does not start
MOST = 48  # descriptors with which a backup can be made
WORDS = "Too many open files"
AUDIT_LIMIT = 10 << 20


def descriptors(hub) -> set[int]:
    return {int(name) for name in os.listdir(f"/proc/{hub.pid}/fd")}


def leave(hub, free: int | None):
    """Lets the hub open so many more files; None: as many as it likes."""
    limit = 4096
    if free is not None:
        used, limit = descriptors(hub), 0
        while free > 0 or limit <= max(used):
            if limit not in used:
                free -= 1
            limit += 1
    subprocess.run(["prlimit", f"--pid={hub.pid}", f"--nofile={limit}:"], check=True, timeout=10)


def processor_seconds(hub) -> float:
    fields = pathlib.Path(f"/proc/{hub.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def open_connections(hub):
    """A connection to the devices' face and one to the administrators', that were there before."""
    device, admin, others = hub.connect(), UnixConnection(hub.socket), []
    try:
        device.connect()
        exchange(device, "GET", "/health")
        exchange(admin, "GET", "/api/nearhub/status")
        # One that has just ended leaves a gap below the limit, into which the next file would fit.
        while len(used := descriptors(hub)) <= max(used):
            others.append(hub.connect())
            exchange(others[-1], "GET", "/health")
        yield device, admin
    finally:
        for connection in (device, admin, *others):
            connection.close()


def test_without_descriptors_for_connections_those_that_are_there_go_on(hub, profile):
    told = {}

    def provision(connection, name):
        answer = exchange(connection, "POST", PROVISION, profile.request(name)).json
        assert answer["status"] == "SUCCESS", answer
        told[name] = answer["credentialsValue"]
        hub.guard(told[name])

    with open_connections(hub) as (device, admin), Peer(hub) as peer:
        leave(hub, 0)
        provision(device, "while there is none")
        waiting = [socket.create_connection(hub.address, 5) for _ in range(20)]
        for connection in waiting:
            connection.sendall(post(json.dumps(profile.request(f"waiting{connection.fileno()}")).encode()))
        time.sleep(0.3)
        before = processor_seconds(hub)
        time.sleep(1)
        assert processor_seconds(hub) - before < 0.5, "it spins"
        provision(device, "while others wait")
        answer = peer.ask(profile.request("over CoAP")).json
        assert answer["status"] == "SUCCESS"
        told["over CoAP"] = answer["credentialsValue"]
        hub.guard(answer["credentialsValue"])
        assert exchange(admin, "GET", "/api/nearhub/status").json["devices"] == 3
        leave(hub, None)
        for connection in waiting:
            with connection:
                connection.settimeout(15)
                assert b'"SUCCESS"' in connection.recv(65536)
    assert hub.provision(profile.request("later")).json["status"] == "SUCCESS"
    hub.kill9()
    hub.start()
    assert {name: hub.credentials(name)["credentialsId"] for name in told} == told
    assert len(hub.devices()) == len(told) + 21


def test_a_hub_without_a_descriptor_for_its_only_connection_answers_it_later(hub, profile):
    with Peer(hub) as peer:
        leave(hub, 0)
        with socket.create_connection(hub.address, 5) as connection:
            connection.sendall(post(json.dumps(profile.request("waiting")).encode()))
            assert peer.ask(profile.request("over CoAP")).json["status"] == "SUCCESS"
            leave(hub, None)
            connection.settimeout(15)
            assert b'"SUCCESS"' in connection.recv(65536)


@pytest.mark.parametrize("free", range(7))
def test_a_compaction_without_descriptors_is_made_later(hub, profile, free):
    ids = fill(hub, profile, 2)
    with open_connections(hub) as (device, admin):
        leave(hub, free)
        exchange(admin, "POST", "/api/nearhub/log/compact")

        def outcomes():
            status = exchange(admin, "GET", "/api/nearhub/status").json["compaction"]
            return not status["running"] and status["outcomes"]

        [*_, outcome] = eventually(outcomes, 20)
        if "failed" in outcome:
            assert WORDS in outcome["failed"] and outcome["log"] == "devices"
            assert generation(hub) == 1 and not list(hub.state.glob("*.new"))
        assert free > 0 or "failed" in outcome, "there were descriptors"
        assert exchange(device, "POST", PROVISION, profile.request("meanwhile")).json["status"] == "SUCCESS"
        leave(hub, None)
    hub.ask("POST", "/api/nearhub/log/compact")
    eventually(lambda: not compaction(hub)["running"], 20)
    assert generation(hub) == 2
    for _ in range(2):
        assert {device["name"] for device in hub.devices()} == {*ids, "meanwhile"}
        assert all(hub.attributes(name)["number"] == 1 for name in ids)
        hub.restart()


def test_an_audit_log_that_cannot_be_rotated_is_gone_on_with_later(hub, profile):
    hub.stop()
    path, old = hub.state / "audit.jsonl", hub.state / "audit.jsonl.1"
    line = b'{"at":"2026-11-25T00:00:00.000Z","face":"admin","peer":"uid 0","result":"changed","device":"%s"}\n'
    line %= b"x" * (1000 - len(line))
    path.write_bytes(line * (AUDIT_LIMIT // len(line)))
    hub.start()
    profile.json = hub.ask("GET", f"/api/deviceProfile/{profile.id}")
    device = hub.add_device("first", profile)["id"]["id"]  # it has the file open then
    changes = 1
    while not old.exists():
        with open_connections(hub) as (_, admin):
            leave(hub, 0)
            answer = exchange(admin, "POST", attributes(device), {"number": changes})
            exchange(admin, "GET", "/api/nearhub/status")  # in a later turn of the loop: the line is written by then
            leave(hub, None)
        assert answer.status == 200
        changes += 1
        assert changes < 100, "never rotated"
    assert "audit log takes no lines" in hub.stderr and WORDS in hub.stderr

    def is_written():
        nonlocal changes
        hub.ask("POST", attributes(device), {"number": changes})
        changes += 1
        return path.exists()

    eventually(is_written, 20, every=0.5)
    lines = [json.loads(line) for line in old.read_bytes().splitlines() + path.read_bytes().splitlines()]
    dropped = [line["count"] for line in lines if line["result"] == "dropped"]
    written = [line for line in lines if line["result"] != "dropped" and set(line.get("device", "")) != {"x"}]
    assert len(dropped) == 1 and len(written) + dropped[0] == changes, (dropped, written)
    assert old.stat().st_size <= AUDIT_LIMIT and old.read_bytes().endswith(b"\n")


def test_a_start_with_too_few_descriptors_says_so(hubs):
    hub = hubs().start()
    profile = hub.create_profile()
    told = hub.provision(profile.request("boiler")).json
    hub.stop()
    before = (hub.state / "devices.jsonl").read_bytes()
    for number in (*range(8, 24), LEAST - 1):
        hub.limits = ["prlimit", f"--nofile={number}"]
        run = hub.refused()
        assert run.code == 74, (number, run)
        assert f"may open {number} files, at least {LEAST} are needed" in run.err and "LimitNOFILE" in run.err, run
    assert (hub.state / "devices.jsonl").read_bytes() == before
    hub.limits = ["prlimit", f"--nofile={LEAST}"]
    hub.start()
    connection = hub.connect()  # there may be one
    assert exchange(connection, "POST", PROVISION, profile.request("boiler")).json == told
    assert exchange(connection, "POST", PROVISION, profile.request("pump")).json["status"] == "SUCCESS"
    connection.close()
    fill(hub, profile, 2)
    assert hub.cli("log", "compact").code == 0 and generation(hub) == 2


def test_a_backup_with_too_few_descriptors_says_so_and_leaves_nothing(hub, profile):
    fill(hub, profile, 1)
    script = hub.file("limited", '#!/bin/sh\nulimit -n "$1"; shift; exec "$@"\n')
    archive = hub.directory / "archive"
    refused = 0
    for number in range(4, MOST):  # the program itself needs one to be loaded
        run = hub.cli("backup", archive, "--state", hub.state, under=["sh", str(script), str(number)])
        if run.code == 0:
            break
        assert run.code > 0 and WORDS in run.err, run
        assert not list(hub.directory.glob("archive*")), "an archive that is not whole"
        refused += 1
    assert 0 < refused < MOST - 4, "never refused, or always"
    restored = hub.directory / "restored"
    assert hub.cli("restore", archive, "--state", restored).code == 0
    assert journal.read(restored / "devices.jsonl").devices.keys() == {device["name"] for device in hub.devices()}
