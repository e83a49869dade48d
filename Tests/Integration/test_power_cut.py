"""The power goes at any moment: the real daemon is recorded, and each state its disk may be left in is recovered.

Nothing that had been answered may be missing then, nobody may have other credentials, no name may be there twice, and
a second recovery must find nothing to do. NEARHUB_CUT_SECONDS bounds each recording's checks (default 15), but the
states of LEAST are checked however long that takes, and pytest prints the sum of all. NEARHUB_CUT_SEED chooses,
NEARHUB_CUT_NESTED is how many recoveries are cut themselves.
"""

import json
import os
import random

import pytest

import journal
import workload
from powercut import PowerCuts
from promises import Promise, judge, judge_upstream
from recovery import whole_log
from upstream import FAST, settings

SECONDS = float(os.environ.get("NEARHUB_CUT_SECONDS", "15"))
SEED = int(os.environ.get("NEARHUB_CUT_SEED", "1"))
NESTED = int(os.environ.get("NEARHUB_CUT_NESTED", "4"))
LEAST = {  # states that are recovered of each recording
    "a whole life": 600,
    "short writes": 400,
    "a failed sync": 250,  # twice
    "lines never synced": 250,  # twice
    "a full disk": 250,
    "log compact": 300,
    "a compaction under load": 500,
    "log repair": 300,
    "upstream": 500,
}

pytestmark = pytest.mark.timeout(180 + 3 * SECONDS)


@pytest.fixture
def survives(record_property, capsys):
    """Cuts the power all over a recording; `of` is its name in LEAST."""

    def survives(of, recording, **options):
        cuts = PowerCuts(recording, SECONDS, SEED, NESTED, LEAST[of], **options)
        report = cuts.run()
        record_property("power cuts", report.states)
        with capsys.disabled():
            print(f"\npower cuts, {of}, seed {SEED}: {len(cuts.promises.devices)} devices promised, {report}")
        assert not report.findings, "\n\n".join(report.findings)
        assert report.states >= LEAST[of], f"too few states were checked to prove anything: {report}"
        return cuts

    return survives


@pytest.fixture
def site_survives(survives):
    """The same for what happened at a site; every answer that a device got must be one that the trace shows."""

    def site_survives(of, site, **options):
        cuts = survives(of, site.recording(), **options)
        told = {(promise.id, promise.credentials) for promise in cuts.promises.devices}
        assert set(site.answered.values()) <= told, "an answer that no trace shows"

    return site_survives


def test_a_power_cut_at_any_moment(hubs, site_survives):
    site_survives("a whole life", workload.record(hubs(), seed=SEED))


def test_a_power_cut_with_interrupted_and_short_writes(hubs, site_survives):
    site_survives("short writes", workload.record(hubs(), "write:%30:short;write:%20:EINTR", seed=SEED))


@pytest.mark.parametrize("number", (5, 12))
def test_a_power_cut_around_a_sync_that_fails(hubs, site_survives, number):
    site, code = workload.record_until_it_stops(hubs(), f"fdatasync/devices*:{number}:EIO", SEED)
    site_survives("a failed sync", site)
    assert code == 74


@pytest.mark.parametrize("fault", ("EIO", "kill"))
def test_a_power_cut_behind_a_start_on_lines_that_were_never_synced(hubs, site_survives, fault):
    """The kernel's memory still has them, and who asks again is told what they say: by then they must be on disk."""
    site = workload.record_second_start(hubs(), fault, SEED)
    assert "written again" in site.hub.stderr, "there were no such lines"
    site_survives("lines never synced", site)


def test_a_power_cut_around_a_full_disk(hubs, site_survives):
    site = workload.record_full_disk(hubs(), 3000, SEED)
    assert any(answer.get("reason") == "STORAGE" for answer in site.refused), "the disk was never full"
    site_survives("a full disk", site)


def test_a_power_cut_while_upstream_is_told(hubs, thingsboards, site_survives):
    """The cursor never stands behind a device that upstream was not told of, and none is forgotten that it refused."""
    server = thingsboards().start()
    options = settings("thingsboard", server.url, **FAST)
    site = workload.record_upstream(hubs(*options), server, seed=SEED)
    kinds = {promise.kind for _, promise in site.told}
    assert {"upstream took", "upstream refused"} <= kinds
    server.stop()
    site_survives("upstream", site, judge=judge_upstream, settings=options)


def test_a_power_cut_while_logs_are_written_anew_under_load(hubs, site_survives):
    """The hub goes on answering; whichever log the disk has afterwards holds all of it."""
    site = workload.record_compaction(hubs(), SEED)
    with open(site.hub.state / "devices.jsonl", "rb") as log:
        assert b'"gen":3' in log.readline()
    site_survives("a compaction under load", site, about="devices.jsonl.new")


# Commands that write state


def test_a_power_cut_during_log_compact(hub, profile, survives):
    """The old logs or the new ones, all with everybody who was answered, and with their last state."""
    told = []
    for number in range(12):
        device = hub.add_device(f"d{number}", profile, state="provisioned" if number % 2 else None)
        credentials = hub.credentials(f"d{number}")["credentialsId"]
        hub.guard(credentials)
        path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/attributes/SERVER_SCOPE"
        hub.ask("POST", path, {"note": "n" * 300})
        told.append((0, Promise("device", device["id"]["id"], f"d{number}", credentials)))
    for number in range(4):
        hub.ask("DELETE", f"/api/deviceProfile/{hub.create_profile(f'short-lived-{number}').id}")
    hub.stop()
    logs = [hub.state / f"{name}.jsonl" for name in ("devices", "profiles")]
    before = [log.stat().st_size for log in logs]
    recording = workload.record_command(hub, hub.state, "log", "compact", "--state", hub.state)
    assert all(log.stat().st_size < size for log, size in zip(logs, before))
    attributes = {name: device["attributes"] for name, device in journal.read(logs[0]).devices.items()}
    assert all(one["note"] for one in attributes.values())
    recording.told += told

    def judge_attributes(promises, found):
        judge(promises, found)
        devices = whole_log(found.tree["/devices.jsonl"]).devices
        assert {name: device["attributes"] for name, device in devices.items()} == attributes

    survives("log compact", recording, judge=judge_attributes)


def test_a_power_cut_during_log_repair(hub, profile, survives):
    """Either the damaged log is as it was, and refused, or the repaired one is whole."""
    names = {f"d{number}" for number in range(40)}
    for name in sorted(names):
        assert hub.provision(profile.request(name)).json["status"] == "SUCCESS"
    hub.stop()
    path = hub.state / "devices.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    damaged = whole.replace(lines[3], lines[3].replace(b'"op":"put"', b'"op":"pot"'))
    path.write_bytes(damaged)
    recording = workload.record_command(hub, hub.state, "log", "repair", "--state", hub.state)
    lost = json.loads(lines[3])["device"]["name"]
    assert set(journal.read(path).devices) == names - {lost}
    repaired = path.read_bytes()
    outcomes = []

    def judge_repair(promises, found):
        outcomes.append(found.is_ready)
        if found.is_ready:
            assert found.tree["/devices.jsonl"].startswith(repaired) and len(found.devices) == len(names) - 1
            assert damaged in found.tree.values(), "the damaged log was not kept"
        else:
            assert found.code == 65 and found.tree["/devices.jsonl"] == damaged, found.stderr
            assert not promises, "the repair was reported and is lost"

    survives("log repair", recording, judge=judge_repair)
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
        print(f"\npower cuts in a restore: {outcomes.count(False)} before it counts, {outcomes.count(True)} after")
    assert True in outcomes and False in outcomes
