"""A bar on a terminal for what takes long, and not a byte of it anywhere else."""

import os
import pty
import re
import subprocess
import threading

import pytest

import faultline
import journal
from harness import binary

READ_SECONDS = 0.5  # of each read of a log: the fourth log takes longer than people wait without a word
BAR = re.compile(r"\r(?P<command>[a-z ]+?): (?P<part>[a-z.]+ )*\[[#.]{30}\] (?P<percent>\d+) % of \d+ [KM]iB\x1b\[K")
AWAY = "\r\x1b[K"


def at_a_terminal(hub, *arguments, environment):
    """Runs a command whose stderr is a terminal: its exit status, stdout, and all that the terminal got."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def read():
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            seen.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(
        [binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, timeout=60,
        cwd=hub.directory, env={**hub.environment, "NEARHUB_CONFIG": str(hub.configuration), **environment}, text=True,
    )
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    return done.returncode, done.stdout, seen.decode()


@pytest.fixture
def hub(hubs):
    """A hub with a few devices, one of which has changed."""
    hub = hubs()
    hub.start()
    profile = hub.create_profile()
    for number in range(4):
        hub.provision(profile.request(f"d{number}"))
    path = f"/api/plugins/telemetry/DEVICE/{hub.device('d1')['id']['id']}/attributes/SERVER_SCOPE"
    hub.ask("POST", path, {"note": 1})
    return hub


def slow(hub):
    return faultline.environment(hub.directory, rules=f"read/*.jsonl:*:delay={int(READ_SECONDS * 1000)}")


def spoil(hub):
    path = hub.state / "devices.jsonl"
    line = journal.read(path).records[1]
    data = bytearray(path.read_bytes())
    data[line.offset + len(line.raw) // 2] ^= 0x04
    path.write_bytes(data)


COMMANDS = {
    "verify": (("log", "verify"), "log verify", "reading devices.jsonl"),
    "check": (("check",), "check", "reading devices.jsonl"),
    "compact": (("log", "compact"), "log compact", "reading devices.jsonl"),
    "repair": (("log", "repair"), "log repair", "reading devices.jsonl"),
    "backup": (("backup", "b.tar"), "backup", "reading devices.jsonl"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_read_has_a_bar(hub, name):
    arguments, command, part = COMMANDS[name]
    hub.stop()
    if name == "repair":
        spoil(hub)
    code, out, seen = at_a_terminal(hub, *arguments, "--state", hub.state, environment=slow(hub))
    assert code == 0, seen
    bars = [found for found in BAR.finditer(seen) if found["command"] == command]
    assert bars and part in seen, seen
    assert all(int(bar["percent"]) <= 100 for bar in bars)
    assert seen.endswith(AWAY), "the bar stays"
    assert "%" not in out


def test_a_running_hub_is_verified_with_a_bar(hub):
    code, out, seen = at_a_terminal(hub, "log", "verify", "--state", hub.state, environment=slow(hub))
    assert code == 0 and "devices.jsonl: 5 records" in out
    assert "log verify: reading devices.jsonl [" in seen and seen.endswith(AWAY)


def test_a_restore_has_a_bar_while_it_checks(hub):
    assert hub.cli("backup", hub.directory / "b.tar").code == 0
    place = hub.directory / "restored"
    code, out, seen = at_a_terminal(hub, "restore", "b.tar", "--state", place, environment=slow(hub))
    assert code == 0 and "4 devices" in out
    assert "restore: checking devices.jsonl [" in seen and seen.endswith(AWAY)


@pytest.mark.parametrize("name", ("verify", "backup"))
def test_nothing_of_it_goes_into_a_pipe(hub, name):
    run = hub.cli(*COMMANDS[name][0], "--state", hub.state, environment=slow(hub))
    assert (run.code, run.err) == (0, ""), run
