"""A start that has much to read: it says how far it is, asks systemd for time, and ends when it is told to."""

import re
import signal
import time

import pytest

import faultline
from benchlib import logs
from test_service import Supervisor

DEVICES = 30_000
TORN = b'{"seq":30001,"durable":30000,"at":"2026-11-24T'
READ_SECONDS = 1.3  # of each MiB, on a very slow card
LINES_EVERY = 5


@pytest.fixture
def hub(hubs):
    """A hub, not started, with a log that takes a dozen reads and has the beginning of one more line at its end."""
    hub = hubs()
    hub.start()
    profile = hub.create_profile()
    hub.add_device("template", profile)
    hub.stop()
    path = hub.state / "devices.jsonl"
    logs.write(path, DEVICES)
    with open(path, "ab") as file:
        file.write(TORN)
    return hub


def slow(hub):
    hub.environment |= faultline.environment(hub.state, rules=f"read/devices*:*:delay={int(READ_SECONDS * 1000)}")


def stored(hub):
    """Every file but the lock, in which each process writes its number."""
    return {name: file for name, file in faultline.snapshot(hub.state).items() if name != "/lock"}


def states(messages, name):
    return [line.split("=", 1)[1] for message in messages for line in message if line.startswith(name + "=")]


def test_a_long_start_says_how_far_it_is_and_asks_for_time(hub):
    supervisor = Supervisor(hub)
    slow(hub)
    began = time.monotonic()
    hub.spawn()
    before = supervisor.wait_for("READY=1", 60)
    took = time.monotonic() - began
    lines = [int(found) for found in re.findall(r"<5>reading devices.jsonl: (\d+) % of \d+ MB", hub.stderr)]
    assert 2 <= len(lines) <= took / LINES_EVERY, (took, hub.stderr)
    assert lines == sorted(lines) and 0 < lines[0] < lines[-1] < 100
    extensions = [int(value) for value in states(before, "EXTEND_TIMEOUT_USEC")]
    assert len(extensions) == len(lines) and min(extensions) >= 3 * LINES_EVERY * 1_000_000
    assert all("reading devices.jsonl" in text for text in states(before, "STATUS"))
    assert hub.status()["devices"] == DEVICES


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_signal_while_the_logs_are_read_ends_the_start_and_changes_nothing(hub, number):
    supervisor = Supervisor(hub)
    slow(hub)
    before = stored(hub)
    process = hub.spawn()
    time.sleep(2.5 * READ_SECONDS)
    assert process.poll() is None and " is ready" not in hub.stderr.splitlines()[-1]
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(30) == 0
    reads = -(-(hub.state / "devices.jsonl").stat().st_size // (1 << 20))
    assert time.monotonic() - began < reads / 2 * READ_SECONDS, "it went on reading"
    hub.process = None
    assert "stopped while the state was read" in hub.stderr and "has not changed" in hub.stderr
    assert stored(hub) == before
    assert supervisor.next(0.1) is None, "it was ready"
    for name in ("LD_PRELOAD", "FAULT_RULES"):
        hub.environment.pop(name)
    hub.start()
    assert hub.status()["devices"] == DEVICES
    assert [path.read_bytes() for path in hub.state.glob("*.torn-*")] == [TORN]


def test_a_signal_at_any_moment_of_a_start_ends_it_well(hub):
    began = time.monotonic()
    hub.start()
    took = time.monotonic() - began
    hub.stop()
    ends = []
    for part in range(12):
        said = len(hub.stderr)
        process = hub.spawn()
        time.sleep(took * part / 10)
        process.send_signal(signal.SIGTERM)
        ends.append(process.wait(5))
        hub.process = None
        # The first moments are before it has asked for signals: then the kernel ends it, and systemd calls that clean.
        assert ends[-1] in (0, -signal.SIGTERM), hub.stderr[said:]
    assert ends[-1] == 0
    hub.start()
    assert hub.status()["devices"] == DEVICES


def test_a_short_start_says_nothing_of_it(hub):
    hub.start()
    assert "reading" not in hub.stderr
