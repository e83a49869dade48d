"""Pages of a log that the disk does not give (EIO from pread): named, and nothing is guessed about what was there."""

import os
import subprocess

import pytest

import faultline
import journal
from harness import eventually

DEVICES = 60
PAGE = 4096


@pytest.fixture
def kept(hub, profile):
    """A stopped hub with many devices, whose log has a page that can be spoiled; the answers by name."""
    answers = {f"d{number}": hub.provision(profile.request(f"d{number}")).json for number in range(DEVICES)}
    hub.stop()
    hub.answers = answers
    hub.log = journal.read(hub.state / "devices.jsonl")
    touched = [line for line in hub.log.records if line.end > 2 * PAGE and line.offset < 3 * PAGE]
    hub.touched = {line.json["device"]["name"] for line in touched}
    hub.first = touched[0]
    return hub


def spoiled(hub, at=2 * PAGE):
    hub.environment |= faultline.environment(hub.state, rules=f"read/devices*:@{at}:EIO")


def heal(hub):
    for name in ("LD_PRELOAD", "FAULT_RULES"):
        hub.environment.pop(name, None)


def test_a_page_that_cannot_be_read_is_named(kept):
    """All ended with status 74 and did not say where."""
    spoiled(kept)
    runs = [kept.cli("log", "verify", "--state", kept.state), kept.cli("check", "--state", kept.state), kept.refused()]
    for run in runs:
        assert run.code == 65, run
        assert "devices.jsonl" in run.err and f"byte {kept.first.offset}" in run.err and f"byte {2 * PAGE}" in run.err
    assert "profiles.jsonl: 1 records" in runs[0].out


def test_repair_keeps_the_rest(kept, profile):
    spoiled(kept)
    run = kept.cli("log", "repair", "--state", kept.state)
    assert run.code == 0, run
    assert f"line {kept.log.lines.index(kept.first) + 1} at byte {kept.first.offset}" in run.out
    assert f"{DEVICES - len(kept.touched)} records" in run.out
    heal(kept)
    kept.start()
    rest = kept.answers.keys() - kept.touched
    assert {device["name"] for device in kept.devices()} == rest
    for name in rest:
        assert kept.provision(profile.request(name)).json["credentialsValue"] == kept.answers[name]["credentialsValue"]


def test_the_rest_is_served_as_far_as_it_is_certain(kept, profile):
    """Whom the lost page was about is not known: who has no line behind it is refused."""
    spoiled(kept)
    kept.settings += ["store.damaged=serve-rest"]
    kept.start()
    held = {line.json["device"]["name"] for line in kept.log.records if line.offset < kept.first.offset}
    assert f"cannot be attributed, {len(held)} devices are held back" in kept.stderr
    behind = kept.answers.keys() - held - kept.touched
    assert {device["name"] for device in kept.devices()} == behind
    for name in behind:
        assert kept.provision(profile.request(name)).json["credentialsValue"] == kept.answers[name]["credentialsValue"]
    for name in held:
        answer = kept.provision(profile.request(name)).json
        assert (answer["status"], answer["reason"]) == ("FAILURE", "STORAGE")
    assert kept.provision(profile.request("new")).json["status"] == "SUCCESS"


def test_an_end_that_cannot_be_read_is_not_cut_off(kept):
    last = (kept.log.lines[-1].end - 1) // PAGE * PAGE
    spoiled(kept, last)
    before = (kept.state / "devices.jsonl").read_bytes()
    kept.settings += ["store.damaged=serve-rest"]
    run = kept.refused()
    assert run.code == 65 and f"byte {last}" in run.err, run
    assert (kept.state / "devices.jsonl").read_bytes() == before
    assert not [path for path in kept.state.iterdir() if "torn" in path.name]


def test_a_running_hub_refuses_that_device_and_goes_on(kept, profile):
    rules = kept.directory / "rules"
    rules.write_text("")
    kept.environment |= faultline.environment(kept.state) | {"FAULT_RULES_FILE": str(rules)}
    kept.start()
    rules.write_text(f"read/devices*:@{2 * PAGE}:EIO")
    inside = next(line for line in kept.log.records if 2 * PAGE < line.offset < 3 * PAGE - 1000)
    name = inside.json["device"]["name"]
    answer = kept.provision(profile.request(name)).json
    assert (answer["status"], answer["reason"]) == ("FAILURE", "STORAGE")
    eventually(lambda: f"at byte {inside.offset}" in kept.stderr)
    for other in kept.answers.keys() - kept.touched:
        assert kept.provision(profile.request(other)).json["credentialsValue"] == kept.answers[other]["credentialsValue"]
    assert kept.provision(profile.request("new")).json["status"] == "SUCCESS"
    assert kept.status()["journal"]["state"] == "writing"


def test_a_line_that_rots_while_the_hub_runs_does_not_end_the_list(kept, profile):
    """Every page of the list that came to the line failed."""
    kept.start()
    line = kept.log.records[DEVICES // 2]
    with open(kept.state / "devices.jsonl", "r+b") as log:
        log.seek(line.offset + 60)
        log.write(bytes([line.raw[60] ^ 1]))
    for _ in range(3):
        assert {device["name"] for device in kept.devices()} == kept.answers.keys() - {line.json["device"]["name"]}
        run = kept.cli("device", "list")
        assert run.code == 0 and run.out.count("ACCESS_TOKEN") == DEVICES - 1, run
    eventually(lambda: f"damaged at byte {line.offset}" in kept.stderr)
    assert kept.stderr.count("the list of devices passes over it") == 1
    assert kept.provision(profile.request("new")).json["status"] == "SUCCESS"


def test_a_damaged_id_hides_no_newer_state(kept):
    """A device was served in an older state when the id on its newest line was what was damaged."""
    heal(kept)
    kept.start()
    device = kept.device("d3")["id"]["id"]
    kept.ask("POST", f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE", {"floor": 3})
    kept.ask("POST", f"/api/plugins/telemetry/DEVICE/{kept.device('d9')['id']['id']}/attributes/SERVER_SCOPE", {"x": 1})
    kept.stop()
    path = kept.state / "devices.jsonl"
    line = journal.read(path).records[-2]
    data = bytearray(path.read_bytes())
    place = line.offset + line.raw.index(device.encode()) + 2
    whole = data[place]
    kept.settings += ["store.damaged=serve-rest"]
    for byte, lost in ((ord("0" if whole != ord("0") else "1"), {"d3"}), (ord("x"), kept.answers.keys() - {"d9"})):
        data[place] = byte
        path.write_bytes(data)
        kept.start()
        assert kept.answers.keys() - {device["name"] for device in kept.devices()} == lost
        assert f"{len(lost)} devices are held back" in kept.stderr
        kept.stop()


def pages_in_memory(path):
    run = subprocess.run(["fincore", "--noheadings", "--output", "PAGES", path], capture_output=True, text=True, timeout=10)
    return int(run.stdout)


def test_verify_reads_the_disk_and_leaves_memory_alone(kept):
    """A look at a great log pushed what others need out of memory, and believed what was there."""
    path = kept.state / "devices.jsonl"
    with open(path, "rb") as file:
        os.fsync(file)  # what is not on disk yet stays in memory
    if pages_in_memory(path) and subprocess.run(
        ["stat", "--file-system", "--format", "%T", path], capture_output=True, text=True, timeout=10
    ).stdout.strip() == "tmpfs":
        pytest.skip("a tmpfs is memory")
    path.read_bytes()
    assert pages_in_memory(path) > 0
    assert kept.cli("log", "verify", "--state", kept.state).code == 0
    assert pages_in_memory(path) == 0
