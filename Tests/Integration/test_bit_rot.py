"""One flipped bit in any byte of a log: the hub names the place and does not start, or the byte was nobody's yet.

NEARHUB_ROT_STEP is the distance from one flipped byte to the next (default 1: all). The bits take turns.
"""

import concurrent.futures
import os
import queue
import re
import subprocess
import sys

import pytest

import journal
from harness import Hub, binary
from recovery import Machine

DEVICES = 20
UNPROVEN = 2
STEP = int(os.environ.get("NEARHUB_ROT_STEP", "1"))


@pytest.fixture(scope="module")
def original():
    """A state with twenty devices, the last two of which nothing proves to be on disk; what it holds, whole."""
    hub = Hub()
    try:
        hub.start()
        profile = hub.create_profile()
        for number in range(DEVICES - UNPROVEN):
            assert hub.provision(profile.request(f"d{number}")).json["status"] == "SUCCESS"
        hub.restart()  # leaves a mark that proves them
        for number in range(DEVICES - UNPROVEN, DEVICES):
            assert hub.provision(profile.request(f"d{number}")).json["status"] == "SUCCESS"
        hub.kill9()
        tree = {f"/{name}": (hub.state / name).read_bytes() for name in ("profiles.jsonl", "devices.jsonl")}
        log = journal.read(hub.state / "devices.jsonl")
        assert len(log.records) == DEVICES
        yield tree, log
    finally:
        hub.close()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def looked_at(machine) -> subprocess.CompletedProcess:
    """What `nearhub check` says of what is laid out."""
    command = [binary(), "check", "--config", "/dev/null", "--state", str(machine.state)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@pytest.mark.timeout(120 + 1000 // STEP)
def test_a_flipped_bit_is_named_or_was_nobodys(original, capsys):
    tree, log = original
    data = tree["/devices.jsonl"]
    proven = max(line.json["durable"] for line in log.lines if "durable" in line.json)
    unproven = next(line.offset for line in log.records if line.json["seq"] > proven)
    names = [line.json["device"]["name"] for line in log.records]
    machines = queue.SimpleQueue()
    made = [Machine() for _ in range(os.cpu_count() or 1)]
    for machine in made:
        machines.put(machine)

    def refused_or_cut(at: int) -> bool:
        machine = machines.get()
        try:
            machine.lay_out(tree | {"/devices.jsonl": flipped(data, at)})
            run = looked_at(machine)
            number = next(index for index, line in enumerate(log.lines) if at < line.end)
            if at < unproven:
                assert run.returncode == 65, f"byte {at}: {run}"
                said = int(re.search(r"\bline (\d+)", run.stderr)[1])
                # A newline that is damaged makes one line of two: it is named by the first, whose bytes are whole.
                assert said == number + 1, f"byte {at} is in line {number + 1}: {run.stderr}"
                assert "devices.jsonl" in run.stderr
                return True
            assert run.returncode == 0, f"byte {at}: {run}"
            found = machine.recover()
            assert found.is_ready, found.stderr
            served = [device["name"] for device in found.devices]
            expected = [line.json["device"]["name"] for line in log.records if line.end <= at]
            assert served == expected == names[: len(served)], f"byte {at}"
            torn = [file for name, file in found.tree.items() if ".torn-" in name]
            assert torn == [flipped(data, at)[log.lines[number].offset :]], f"byte {at} is not kept aside"
            return False
        finally:
            machines.put(machine)

    places = [*range(0, unproven, STEP), *range(unproven, len(data), max(1, STEP // 2))]
    try:
        with concurrent.futures.ThreadPoolExecutor(len(made)) as pool:
            outcomes = list(pool.map(refused_or_cut, places))
    finally:
        for machine in made:
            machine.close()
    named, cut = outcomes.count(True), outcomes.count(False)
    with capsys.disabled():
        text = f"\nbit rot: {named} flips refused by file and line, {cut} in the unfinished end, none served"
        print(text, file=sys.stderr)
    assert named > 300 and cut > 20


def test_a_damaged_log_is_refused_by_the_daemon_as_by_check(original):
    tree, log = original
    data, machine = tree["/devices.jsonl"], Machine()
    try:
        for line in log.records[:: max(1, len(log.records) // 6)][:5]:
            machine.lay_out(tree | {"/devices.jsonl": flipped(data, line.offset + len(line.raw) // 2)})
            checked, started = looked_at(machine), machine.recover()
            assert checked.returncode == started.code == 65
            number = log.lines.index(line) + 1
            assert f"line {number}" in checked.stderr and f"line {number}" in started.stderr
            assert machine.tree()["/devices.jsonl"] == flipped(data, line.offset + len(line.raw) // 2)
    finally:
        machine.close()
