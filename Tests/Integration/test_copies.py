"""Copies of a hub that serves and writes its logs anew all the time: each one starts, with whoever had been answered."""

import os
import shutil
import subprocess
import time

import pytest

import faultline
import journal
from harness import Meanwhile, eventually
from test_compaction import Load, attributes, compaction, fill, generation

ORDER = ("upstream", "devices", "profiles", "admin")
ROUNDS = int(os.environ.get("NEARHUB_COPIES", "8"))


class Rewriting(Meanwhile):
    """Changes devices and has the logs written anew, again and again."""

    def __init__(self, hub, ids):
        super().__init__()
        self.hub, self.ids, self.runs = hub, list(ids.values()), 0

    def work(self):
        for device in self.ids[:10]:
            self.hub.ask("POST", attributes(device), {"note": "n" * 3000})
        self.hub.ask("POST", "/api/nearhub/log/compact")
        while compaction(self.hub)["running"] and not self.over.wait(0.005):
            pass
        self.runs += 1


def files(hub, to):
    """As the README says it: upstream, devices, profiles, admin."""
    subprocess.run(["cp", "-p", *(hub.state / f"{name}.jsonl" for name in ORDER), to], check=True, timeout=20)


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


GAP = 6.5  # seconds between two files: a witness is written within 5


def witnessed(hub):
    """The highest number that upstream.jsonl says was on disk."""
    return max([line.json["cursor"]["devices"] for line in journal.read(hub.state / "upstream.jsonl").records
                if "cursor" in line.json], default=0)  # fmt: skip


def copied(hub, to, order, load):
    """A copy file by file with a pause between two of them; who was answered before it began."""
    early = dict(load.promised)
    for name in order:
        shutil.copy2(hub.state / f"{name}.jsonl", to)
        before = witnessed(hub)
        time.sleep(GAP if name != order[-1] else 0)
        if name == "devices":
            eventually(lambda: witnessed(hub) > before, 10)
    return early


def holds(copy, profile, early):
    assert {device["name"] for device in copy.devices()} >= early.keys()
    for name in list(early)[-20:]:
        assert copy.provision(profile.request(name)).json["credentialsValue"] == early[name]


@pytest.fixture
def loaded(hubs):
    hub = hubs().start()
    profile = hub.create_profile(maxDevices=1_000_000, repeatWindow="forever")
    with Load(hub, profile, "p") as load:
        yield hub, profile, load
    assert not load.refused


def test_a_slow_copy_in_the_order_of_the_readme_starts_as_the_same_hub(loaded, hubs):
    hub, profile, load = loaded
    copy = hubs()
    early = copied(hub, copy.state, ORDER, load)
    copy.start()
    holds(copy, profile, early)
    assert copy.status()["upstream"]["hub"] == hub.status()["upstream"]["hub"]


def test_a_copy_whose_upstream_log_is_younger_is_refused_and_a_repair_keeps_all_of_it(loaded, hubs):
    """A copy of the directory in its own order; the same as a tar is restored without upstream.jsonl."""
    hub, profile, load = loaded
    copy, restored = hubs(), hubs()
    early = copied(hub, copy.state, ("admin", "devices", "profiles", "upstream"), load)
    identity = hub.status()["upstream"]["hub"]
    made = hub.directory / "copy.tar"
    subprocess.run(["tar", "-C", copy.state, "-cf", made, "."], check=True, timeout=20)
    run = copy.refused()
    assert run.code == 65 and "the log ends at seq" in run.err, run
    assert "a copy made while the hub ran may be so, then nearhub log repair keeps all that is in it" in run.err, run
    run = copy.cli("log", "repair", "--state", copy.state)
    assert run.code == 0 and "0 lines set aside" in run.out, run
    copy.start()
    holds(copy, profile, early)

    restored.state.rmdir()
    run = restored.cli("restore", made, "--state", restored.state, "--replace-gateway")
    assert run.code == 0 and "kept as upstream.jsonl.damaged-0" in run.err, run
    assert (restored.state / "upstream.jsonl.damaged-0").exists()
    assert not (restored.state / "upstream.jsonl").exists()
    restored.start()
    holds(restored, profile, early)
    assert restored.status()["upstream"]["hub"] == copy.status()["upstream"]["hub"] == identity
