"""Answers that wait for a slow disk, over HTTP: many at once, and what goes on beside them."""

import concurrent.futures
import json
import os
import pathlib
import socket
import time

import pytest

import faultline
import journal
from harness import PROVISION, exchange

SYNC = 4.0  # seconds: more than the one that requests wait without being suspended, whatever else is going on
CROWD = 200  # more than the 128 that wait without being suspended


@pytest.fixture
def slow(hubs):
    """A hub whose disk takes longer than requests wait without being suspended, and a profile on it."""
    hub = hubs()
    rules = hub.directory / "rules"
    rules.touch()
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(rules)}
    hub.start()
    profile = hub.create_profile()
    rules.write_text(f"sync/devices*:*:delay={int(SYNC * 1000)}")
    yield hub, profile
    rules.write_text("")
    assert hub.provision(profile.request("last")).json["status"] == "SUCCESS"  # the disk is quick again


def send(hub, body: dict) -> socket.socket:
    """A connection on which a request was sent and nothing was read."""
    content = json.dumps(body).encode()
    connection = socket.create_connection(hub.address, timeout=20)
    head = f"POST {PROVISION} HTTP/1.1\r\nHost: hub\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)
    return connection


def cpu_seconds(pid: int) -> float:
    """User and system time of a process: proc(5)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_crowd_waits_and_all_are_answered(slow):
    hub, profile = slow

    def one(number: int):
        connection = hub.connect()
        try:
            return exchange(connection, "POST", PROVISION, profile.request(f"d{number}"))
        finally:
            connection.close()

    with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
        answers = list(pool.map(one, range(CROWD)))
    assert {answer.json["status"] for answer in answers} == {"SUCCESS"}
    log = journal.read(hub.state / "devices.jsonl")
    for number, answer in enumerate(answers):
        assert log.devices[f"d{number}"]["credentials"]["id"] == answer.json["credentialsValue"]


def test_who_waits_for_nothing_on_the_disk_does_not_wait(slow):
    hub, profile = slow
    waiting = [send(hub, profile.request(f"d{number}")) for number in range(20)]
    time.sleep(0.2)
    began = time.monotonic()
    assert hub.http("GET", "/health").status == 200
    assert hub.http("POST", "/nowhere", {}).status == 404
    passed = time.monotonic() - began
    for connection in waiting:
        connection.settimeout(0.001)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(20)
    assert passed < SYNC / 2
    for connection in waiting:
        assert b"SUCCESS" in connection.recv(4096)
        connection.close()


def test_waiting_costs_no_processor(slow):
    hub, profile = slow
    before = cpu_seconds(hub.pid)
    waiting = [send(hub, profile.request(f"d{number}")) for number in range(100)]
    for connection in waiting:
        assert b"SUCCESS" in connection.recv(4096)
        connection.close()
    assert cpu_seconds(hub.pid) - before < SYNC / 2


def test_who_leaves_while_waiting_is_provisioned_and_harms_nobody(slow):
    hub, profile = slow
    leaving = [send(hub, profile.request(f"gone{number}")) for number in range(30)]
    staying = [send(hub, profile.request(f"here{number}")) for number in range(30)]
    time.sleep(0.2)
    for connection in leaving:
        connection.close()
    for connection in staying:
        assert b"SUCCESS" in connection.recv(4096)
        connection.close()
    assert len(hub.devices()) == 60
    assert hub.http("GET", "/health").status == 200
