"""Copies of a hub that serves and writes its logs anew all the time: each one starts, with whoever had been answered."""

import os
import shutil
import subprocess
import threading

import pytest

import faultline
from test_compaction import Load, attributes, compaction, fill, generation

ROUNDS = int(os.environ.get("NEARHUB_COPIES", "8"))


class Rewriting:
    """Changes devices and has the logs written anew, again and again."""

    def __init__(self, hub, ids):
        self.hub, self.ids, self.over, self.runs = hub, list(ids.values()), threading.Event(), 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _run(self):
        while not self.over.is_set():
            for device in self.ids[:10]:
                self.hub.ask("POST", attributes(device), {"note": "n" * 3000})
            self.hub.ask("POST", "/api/nearhub/log/compact")
            while compaction(self.hub)["running"] and not self.over.wait(0.005):
                pass
            self.runs += 1


def files(hub, to):
    """As the README says it: the devices before the profiles."""
    for name in ("devices", "profiles"):
        subprocess.run(["cp", "-p", hub.state / f"{name}.jsonl", to], check=True, timeout=20)


def directory(hub, to):
    """All of it, as a backup program would; what is renamed or removed meanwhile is left out."""
    subprocess.run(["cp", "-a", f"{hub.state}/.", to], capture_output=True, timeout=20)
    (to / "lock").unlink(missing_ok=True)


def archive(hub, to):
    made = hub.directory / "archive"
    made.unlink(missing_ok=True)
    assert hub.cli("backup", made, "--state", hub.state).code == 0
    run = hub.cli("restore", made, "--state", to, "--replace-gateway")
    assert run.code == 0, run


@pytest.mark.parametrize("copy", (files, directory, archive))
def test_each_copy_starts_and_holds_whoever_was_answered_before(hubs, copy):
    hub = hubs()
    # Slow syncs of the new log, so that copies are made at all its moments.
    hub.environment |= faultline.environment(hub.state, rules="sync/devices.jsonl.new:*:delay=20")
    hub.start()
    profile = hub.create_profile(maxDevices=1_000_000)
    ids = fill(hub, profile, 2)
    others = hubs()
    with Load(hub, profile, "p") as load, Rewriting(hub, ids) as rewriting:
        for _ in range(ROUNDS):
            early = dict(load.promised)
            shutil.rmtree(others.state)
            others.state.mkdir(mode=0o700)
            copy(hub, others.state)
            verified = hub.cli("log", "verify", "--state", hub.state)
            assert verified.code == 0, verified
            others.start()
            there = {device["name"] for device in others.devices()}
            assert there >= ids.keys() | early.keys(), f"missing: {sorted((ids.keys() | early.keys()) - there)[:9]}"
            for name in list(early)[-20:]:
                assert others.credentials(name)["credentialsId"] == early[name]
            others.stop()
    assert not load.refused
    assert generation(hub) > 3 and rewriting.runs > 3, "the logs were not written anew meanwhile"
