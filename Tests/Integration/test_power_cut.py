"""The power goes at any moment: the real daemon is recorded, and each state its disk may be left in is recovered.

Nothing that had been answered may be missing then, nobody may have other credentials, no name may be there twice, and
a second recovery must find nothing to do. NEARHUB_CUT_SECONDS bounds each recording's checks (default 30),
NEARHUB_CUT_SEED chooses, NEARHUB_CUT_NESTED is how many recoveries are cut themselves.
"""

import os
import random
import sys

import pytest

import workload
from powercut import PowerCuts
from promises import Promise
from recovery import Machine

SECONDS = float(os.environ.get("NEARHUB_CUT_SECONDS", "30"))
SEED = int(os.environ.get("NEARHUB_CUT_SEED", "1"))
NESTED = int(os.environ.get("NEARHUB_CUT_NESTED", "4"))

pytestmark = pytest.mark.timeout(120 + 3 * SECONDS)


def survives(site, least: int, capsys, about: str = ""):
    """Cuts the power all over a recording, or where something happens to a file of that ending."""
    cuts = PowerCuts(site.recording(), SECONDS, SEED, NESTED, about=about)
    told = {(promise.id, promise.credentials) for promise in cuts.promises.devices}
    assert set(site.answered.values()) <= told, "an answer that no trace shows"
    report = cuts.run()
    with capsys.disabled():
        print(f"\npower cuts, seed {SEED}: {len(told)} devices promised, {report}", file=sys.stderr)
    assert not report.findings, "\n\n".join(report.findings)
    assert report.states >= least, f"too few states were checked to prove anything: {report}"


def test_a_power_cut_at_any_moment(hubs, capsys):
    survives(workload.record(hubs(), seed=SEED), 100, capsys)


def test_a_power_cut_with_interrupted_and_short_writes(hubs, capsys):
    survives(workload.record(hubs(), "write:%30:short;write:%20:EINTR", seed=SEED), 100, capsys)


@pytest.mark.parametrize("number", (5, 12))
def test_a_power_cut_around_a_sync_that_fails(hubs, capsys, number):
    hub = hubs()
    site, code = workload.record_until_it_stops(hub, f"fdatasync/devices*:{number}:EIO", SEED)
    survives(site, 50, capsys)
    assert code == 74


def test_a_power_cut_around_a_full_disk(hubs, capsys):
    site = workload.record_full_disk(hubs(), 3000, SEED)
    assert any(answer.get("reason") == "STORAGE" for answer in site.refused), "the disk was never full"
    survives(site, 100, capsys)


# Commands that write state


def test_a_power_cut_during_log_compact(hub, profile, capsys):
    """The old log or the new one, both with everybody who was answered, and with their last state."""
    told = []
    for number in range(12):
        device = hub.add_device(f"d{number}", profile, state="provisioned" if number % 2 else None)
        credentials = hub.credentials(f"d{number}")["credentialsId"]
        hub.guard(credentials)
        told.append((0, Promise("device", device["id"]["id"], f"d{number}", credentials)))
    hub.stop()
    before = (hub.state / "devices.jsonl").stat().st_size
    recording = workload.record_command(hub, hub.state, "log", "compact", "--state", hub.state)
    assert (hub.state / "devices.jsonl").stat().st_size < before
    recording.told += told
    cuts = PowerCuts(recording, SECONDS, SEED, NESTED)
    report = cuts.run()
    with capsys.disabled():
        print(f"\npower cuts in a compaction, seed {SEED}: {report}", file=sys.stderr)
    assert not report.findings, "\n\n".join(report.findings)
    assert report.states >= 20, report


def test_a_power_cut_while_logs_are_written_anew_under_load(hubs, capsys):
    """The hub goes on answering; whichever log the disk has afterwards holds all of it."""
    site = workload.record_compaction(hubs(), SEED)
    with open(site.hub.state / "devices.jsonl", "rb") as log:
        assert b'"gen":3' in log.readline()
    survives(site, 100, capsys, about="devices.jsonl.new")


def test_a_power_cut_during_log_repair(hub, profile, capsys):
    """Either the damaged log is as it was, and refused, or the repaired one is whole."""
    for number in range(8):
        assert hub.provision(profile.request(f"d{number}")).json["status"] == "SUCCESS"
    hub.stop()
    path = hub.state / "devices.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    damaged = whole.replace(lines[3], lines[3].replace(b'"op":"put"', b'"op":"pot"'))
    path.write_bytes(damaged)
    recording = workload.record_command(hub, hub.state, "log", "repair", "--state", hub.state)
    disk, dice, machine, outcomes = recording.disk(), random.Random(SEED), Machine(), []
    try:
        machine.lay_out(disk.final())
        repaired = {device["name"] for device in machine.recover().devices}
        assert repaired == {f"d{number}" for number in range(8)} - {"d2"}
        for cut in disk.cuts():
            states = dict(disk.states(cut, dice, 4))
            for story in dice.sample(sorted(states), min(12, len(states))):
                machine.lay_out(states[story])
                found = machine.recover()
                if found.is_ready:
                    assert {device["name"] for device in found.devices} == repaired, story
                    assert damaged in found.tree.values(), f"the damaged log was not kept: {story}"
                else:
                    assert found.code == 65 and found.tree["/devices.jsonl"] == damaged, f"{story}: {found.stderr}"
                    assert cut < len(disk.events), f"the repair was reported and is lost: {story}"
                outcomes.append(found.is_ready)
    finally:
        machine.close()
    with capsys.disabled():
        said = f"\npower cuts in a repair: {outcomes.count(False)} before it counts, {outcomes.count(True)} after"
        print(said, file=sys.stderr)
    assert True in outcomes and False in outcomes


def test_a_power_cut_during_restore(hub, profile, capsys):
    """Either there is nothing in the state directory, or all of it."""
    for number in range(8):
        assert hub.provision(profile.request(f"d{number}")).json["status"] == "SUCCESS"
    hub.stop()
    root = hub.directory / "other"
    root.mkdir()
    assert hub.cli("backup", hub.directory / "archive", "--state", hub.state).code == 0
    recording = workload.record_command(hub, root, "restore", hub.directory / "archive", "--state", root / "state")
    disk, dice, outcomes = recording.disk(), random.Random(SEED), []
    restored = disk.final()
    assert {"/state/devices.jsonl", "/state/profiles.jsonl"} <= set(restored)
    for cut in disk.cuts():
        for story, tree in disk.states(cut, dice, 8):
            there = {name: data for name, data in tree.items() if name.startswith("/state/")}
            assert there in ({}, restored), story
            assert there or cut < len(disk.events), f"the restore was reported and is lost: {story}"
            outcomes.append(bool(there))
    with capsys.disabled():
        said = f"\npower cuts in a restore: {outcomes.count(False)} before it counts, {outcomes.count(True)} after"
        print(said, file=sys.stderr)
    assert True in outcomes and False in outcomes
