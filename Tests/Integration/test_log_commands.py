"""`nearhub log verify` and `nearhub log repair`: damage is named, and what is whole serves again."""

import contextlib
import os
import re
import subprocess

import pytest

import faultline
import journal

DEVICES = 6


def provisioned(hub, profile):
    answers = {f"d{number}": hub.provision(profile.request(f"d{number}")).json for number in range(DEVICES)}
    assert {answer["status"] for answer in answers.values()} == {"SUCCESS"}
    return answers


def spoil(hub, index):
    """Flips a bit of a record; its line."""
    path = hub.state / "devices.jsonl"
    line = journal.read(path).records[index]
    data = bytearray(path.read_bytes())
    data[line.offset + len(line.raw) // 2] ^= 0x04
    path.write_bytes(data)
    return line


def test_verify_looks_at_a_running_hub_and_at_a_stopped_one(hub, profile):
    provisioned(hub, profile)
    for _ in range(2):
        run = hub.cli("log", "verify", "--state", hub.state)
        assert (run.code, run.err) == (0, "")
        assert f"devices.jsonl: {DEVICES} records" in run.out and "profiles.jsonl: 1 records" in run.out
        if hub.process is not None:
            hub.stop()
    assert hub.cli("log", "verify", "--state", hub.directory / "nowhere").code == 74


def test_verify_says_what_the_next_start_will_do(hub, profile):
    """Of a healthy hub it said "nothing proves them on disk yet", of a torn end "cut off, not kept": nothing was."""
    provisioned(hub, profile)
    run = hub.cli("log", "verify", "--state", hub.state)
    assert run.code == 0 and "written again" not in run.out and "which is so while a hub runs" in run.out, run
    hub.kill9()
    with (hub.state / "devices.jsonl").open("ab") as log:
        log.write(b'{"seq":99')
    run = hub.cli("log", "verify", "--state", hub.state)
    assert run.code == 0 and "the next start cuts them off and keeps them aside" in run.out, run
    assert hub.cli("check", "--state", hub.state).out.count("not kept") == 0
    hub.start()
    assert "cut off, kept in" in hub.stderr


def test_damage_is_named_and_repaired(hub, profile):
    answers = provisioned(hub, profile)
    busy = hub.cli("log", "repair", "--state", hub.state)
    assert busy.code == 75 and "stop it first" in busy.err
    hub.stop()
    line = spoil(hub, 2)
    damaged = (hub.state / "devices.jsonl").read_bytes()
    run = hub.cli("log", "verify", "--state", hub.state)
    assert run.code == 65
    assert "devices.jsonl" in run.err and f"byte {line.offset}, line 4" in run.err and "log repair" in run.err
    logs = hub.cli("log", "verify", "--json", "--state", hub.state).json["logs"]
    assert [log["good"] for log in logs] == [True, False, True, True]
    assert hub.refused().code == 65

    run = hub.cli("log", "repair", "--state", hub.state)
    assert run.code == 0, run
    aside, done = run.out.splitlines()
    assert f"line 4 at byte {line.offset}, {len(line.raw)} bytes, seq 3, id {line.json['device']['id']}" in aside
    assert f"{DEVICES - 1} records, 1 lines set aside" in done
    kept = re.search(r"devices\.jsonl\.damaged-\d+", done)[0]
    assert (hub.state / kept).read_bytes() == damaged
    assert not any(answer["credentialsValue"] in run.out + run.err for answer in answers.values())

    hub.start()
    assert {device["name"] for device in hub.devices()} == answers.keys() - {"d2"}
    for name in answers.keys() - {"d2"}:
        assert hub.provision(profile.request(name)).json["credentialsValue"] == answers[name]["credentialsValue"]
    assert hub.provision(profile.request("new")).json["status"] == "SUCCESS"
    log = journal.read(hub.state / "devices.jsonl")
    assert log.records[-1].json["seq"] == DEVICES + 1
    hub.restart()
    hub.stop()
    run = hub.cli("log", "repair", "--state", hub.state)
    assert run.code == 0 and "no log is damaged" in run.out


def test_the_rest_is_served_if_the_operator_wants_it(hub, profile):
    answers = provisioned(hub, profile)
    hub.stop()
    line = spoil(hub, 2)
    hub.settings += ["store.damaged=serve-rest"]
    hub.start()
    assert f"line 4 at byte {line.offset}" in hub.stderr
    assert hub.status()["journal"]["devices"]["damaged"] == 1
    assert "1 damaged lines are not served" in hub.cli("status").out
    assert {device["name"] for device in hub.devices()} == answers.keys() - {"d2"}
    for name in answers.keys() - {"d2"}:
        assert hub.provision(profile.request(name)).json["credentialsValue"] == answers[name]["credentialsValue"]
    assert hub.provision(profile.request("new")).json["status"] == "SUCCESS"
    hub.kill9()
    hub.start()
    assert {device["name"] for device in hub.devices()} == (answers.keys() - {"d2"}) | {"new"}
    hub.stop()
    assert hub.cli("log", "repair", "--state", hub.state).code == 0
    hub.settings.clear()
    hub.start()
    assert {device["name"] for device in hub.devices()} == (answers.keys() - {"d2"}) | {"new"}


def test_a_stopped_hub_is_compacted(hub, profile):
    answers = provisioned(hub, profile)
    device = hub.device("d1")["id"]["id"]
    for number in range(20):
        path = f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE"
        hub.ask("POST", path, {"note": number})
    busy = hub.cli("log", "compact", "--state", hub.state)
    assert busy.code == 75 and "stop it first" in busy.err
    hub.stop()
    before = journal.read(hub.state / "devices.jsonl")
    run = hub.cli("log", "compact", "--state", hub.state)
    assert run.code == 0 and f"devices.jsonl: {DEVICES} records" in run.out
    assert hub.cli("log", "verify", "--state", hub.state).code == 0
    log = journal.read(hub.state / "devices.jsonl")
    assert log.marks("head")[0]["id"] == before.marks("head")[0]["id"] and log.marks("head")[0]["gen"] == 2
    assert log.marks("seal") == [log.marks("seal")[0]] and log.marks("seal")[0]["upto"] == DEVICES + 20
    assert {line.raw for line in log.records} < {line.raw for line in before.records}
    hub.start()
    assert hub.attributes("d1")["note"] == 19
    for name, answer in answers.items():
        assert hub.provision(profile.request(name)).json["credentialsValue"] == answer["credentialsValue"]


def replace_often(hub, name, times=20):
    device = hub.device(name)["id"]["id"]
    for number in range(times):
        hub.ask("POST", f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE", {"note": number})


@pytest.mark.parametrize("command", ("repair", "compact"))
def test_a_name_that_could_not_be_synced_is_said_to_be_in_doubt(hub, profile, command):
    """The new log has its name then, and only a power cut could take it away: who reads the error must know."""
    provisioned(hub, profile)
    replace_often(hub, "d1")
    hub.stop()
    if command == "repair":
        spoil(hub, 2)
    before = (hub.state / "devices.jsonl").read_bytes()
    # The name of the damaged log that is kept is synced first; opening the logs syncs their directory, too.
    number = 2 if command == "repair" else 3
    rules = faultline.environment(hub.state, rules=f"fsync/{hub.state.name}:{number}:EIO")
    run = hub.cli("log", command, "--state", hub.state, environment=rules)
    assert run.code == 74 and "is written anew" in run.err and "power cut may bring the old one back" in run.err, run
    kept = re.search(r"devices\.jsonl\.damaged-\d+", run.err)
    assert (kept is not None) == (command == "repair")
    if kept:
        assert (hub.state / kept[0]).read_bytes() == before
        assert "line 4 at byte" in run.out and "seq 3" in run.out, "nobody learns what is lost"
    assert (hub.state / "devices.jsonl").read_bytes() != before
    assert hub.cli("log", "verify", "--state", hub.state).code == 0


@pytest.mark.parametrize(
    "rule",
    ("fsync/state:1:EIO", "sync/devices.jsonl:1:EIO", "write/devices.jsonl.new:1:ENOSPC", "rename/devices.jsonl:1:EIO"),
)
def test_a_repair_that_fails_before_has_changed_nothing(hub, profile, rule):
    provisioned(hub, profile)
    hub.stop()
    spoil(hub, 2)
    before = faultline.snapshot(hub.state)
    rules = faultline.environment(hub.state, rules=rule.replace("/state:", f"/{hub.state.name}:"))
    run = hub.cli("log", "repair", "--state", hub.state, environment=rules)
    assert run.code == 74 and "written anew" not in run.out + run.err, run
    after = faultline.snapshot(hub.state)
    assert {name: data for name, (_, data) in after.items() if name != "/lock"} == {
        name: data for name, (_, data) in before.items() if name != "/lock"
    }


def test_what_was_repaired_is_told_although_another_log_fails(hub, profile):
    """Which lines are lost is printed once and never again: the log is whole afterwards."""
    provisioned(hub, profile)
    hub.stop()
    for name in ("profiles.jsonl", "devices.jsonl"):
        path = hub.state / name
        data = bytearray(path.read_bytes())
        data[journal.read(path).records[0].offset + 60] ^= 0x04
        path.write_bytes(data)
    rules = faultline.environment(hub.state, rules="write/devices.jsonl.new:*:ENOSPC")
    run = hub.cli("log", "repair", "--state", hub.state, environment=rules)
    assert run.code == 74 and "devices.jsonl" in run.err
    assert "profiles.jsonl: line 2 at byte" in run.out and "0 records, 1 lines set aside" in run.out


@pytest.fixture
def small_disk(hub):
    """A disk of 2 MiB under a stopped hub, for those who may mount one."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", hub.state]
    hub.stop()
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, timeout=10).returncode != 0:
        pytest.skip("only a root that may mount has a small disk")
    yield hub.start()
    with contextlib.suppress(AttributeError):
        hub.stop()
    subprocess.run(["umount", hub.state], check=True, timeout=10)


def test_a_compaction_without_room_says_how_much_it_takes(small_disk):
    hub = small_disk
    provisioned(hub, hub.create_profile())
    replace_often(hub, "d1")
    hub.stop()
    filler = hub.state / "filler"
    filler.write_bytes(b"x" * 1_200_000)
    before = faultline.snapshot(hub.state)
    run = hub.cli("log", "compact", "--state", hub.state)
    found = re.search(r"takes (\d+) bytes of free disk, and (\d+) are free", run.err)
    assert run.code == 74 and found and int(found[1]) > 1 << 20 > int(found[2]), run
    assert {name: file for name, file in faultline.snapshot(hub.state).items() if name != "/lock"} == {
        name: file for name, file in before.items() if name != "/lock"
    }
    filler.unlink()
    assert hub.cli("log", "compact", "--state", hub.state).code == 0
