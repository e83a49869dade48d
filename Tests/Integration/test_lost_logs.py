"""What a log that was emptied, deleted or damaged must never lead to: a fresh start, or an older state served."""

import shutil

import pytest

import journal
from harness import Hub


@pytest.fixture
def kept(hub, profile):
    """A stopped hub with a profile, and a device that has a newer state."""
    hub.provision(profile.request("boiler"))
    device = hub.device("boiler")
    path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/attributes/SERVER_SCOPE"
    assert hub.admin("POST", path, {"floor": 3}).status == 200
    hub.provision(profile.request("pump"))
    hub.stop()
    return hub


@pytest.mark.parametrize("name", ["devices.jsonl", "profiles.jsonl"])
@pytest.mark.parametrize("way", ["emptied", "deleted", "cut short"])
def test_a_log_that_is_gone_is_no_fresh_start(kept, name, way):
    """The other log proves that there was one. It was taken for a new state, and every device forgotten."""
    path = kept.state / name
    content = path.read_bytes()
    path.unlink()
    if way != "deleted":
        path.write_bytes(b"" if way == "emptied" else content[:50])
        path.chmod(0o600)
    run = kept.refused()
    assert run.code == 65 and name in run.err and "empty or missing" in run.err, run
    assert kept.cli("check", "--state", str(kept.state)).code == 65
    path.write_bytes(content)
    path.chmod(0o600)
    kept.start()
    assert kept.status()["devices"] == 2


@pytest.mark.parametrize("name", ["devices.jsonl", "profiles.jsonl"])
@pytest.mark.parametrize("has_upstream", [True, False])
def test_a_log_that_was_deleted_is_begun_anew_by_a_repair(kept, name, has_upstream):
    """Every message named `log repair`, which could not open what is gone (74), or found no damage at all."""
    if not has_upstream:
        (kept.state / "upstream.jsonl").unlink()
    (kept.state / name).unlink()
    assert kept.cli("log", "verify", "--state", kept.state).code == 65
    run = kept.cli("log", "repair", "--state", kept.state)
    assert run.code == 0 and f"{name}: it was gone, and nothing of it is left" in run.out, run
    is_moved = name == "devices.jsonl" and has_upstream
    assert is_moved == ("upstream.jsonl.damaged-0" in run.out) == (kept.state / "upstream.jsonl.damaged-0").exists()
    assert kept.cli("log", "verify", "--state", kept.state).code == 0
    kept.start()
    assert kept.status()["devices"] == (0 if name == "devices.jsonl" else 2)


@pytest.mark.parametrize("way", ["emptied", "deleted", "cut short"])
def test_a_hub_whose_id_is_gone_does_not_silently_become_another_one(kept, way):
    """It got a new id and said nothing: upstream it was another hub, with the same devices."""
    path = kept.state / "admin.jsonl"
    content = path.read_bytes()
    kept.start()
    identity = kept.status()["upstream"]["hub"]
    kept.stop()
    path.unlink()
    if way != "deleted":
        path.write_bytes(b"" if way == "emptied" else content[:50])
        path.chmod(0o600)
    for run in (kept.refused(), kept.cli("check", "--state", kept.state)):
        assert run.code == 65 and "admin.jsonl" in run.err and "though upstream.jsonl holds records" in run.err, run
    logs = kept.cli("log", "verify", "--json", "--state", kept.state).json["logs"]
    assert [log["log"] for log in logs if not log["good"]] == ["admin"]
    assert kept.cli("backup", kept.directory / "b.tar", "--state", kept.state).code == 65
    copy = kept.directory / "copy"
    shutil.copytree(kept.state, copy)
    run = kept.cli("log", "repair", "--state", copy)
    assert run.code == 0 and "admin.jsonl" in run.out and "the hub has a new id" in run.out, run
    assert kept.cli("log", "verify", "--state", copy).code == 0
    other = Hub()
    try:
        other.state.rmdir()
        shutil.move(copy, other.state)
        other.start()
        assert other.status()["devices"] == 2 and other.status()["upstream"]["hub"] != identity
        other.restart()
    finally:
        other.close()
    path.write_bytes(content)
    path.chmod(0o600)
    kept.start()
    assert kept.status()["upstream"]["hub"] == identity


@pytest.mark.parametrize("emptied", [(), ("upstream",)])
@pytest.mark.parametrize("gone", [("upstream", "admin"), ("upstream",)])
def test_a_state_without_upstream_log_starts(kept, gone, emptied):
    """As a copy of devices and profiles alone: what upstream was told is told again."""
    for name in gone:
        (kept.state / f"{name}.jsonl").unlink()
    for name in emptied:
        (kept.state / f"{name}.jsonl").touch(mode=0o600)
    kept.start()
    assert kept.status()["devices"] == 2
    kept.restart()


def test_one_repair_is_enough_for_a_damaged_witness_and_what_it_proves(kept):
    """The first run wrote upstream.jsonl anew, and that then proved devices.jsonl too short: the start was refused."""
    path = kept.state / "devices.jsonl"
    second = journal.read(path).records[1]
    path.write_bytes(path.read_bytes()[: second.offset])
    witness = kept.state / "upstream.jsonl"
    data = bytearray(witness.read_bytes())
    first = journal.read(witness).records[0]
    # Before a whole line that proves the number: what is left of it still does.
    data[first.offset : first.offset] = b"rot\n"
    witness.write_bytes(data)
    run = kept.cli("log", "repair", "--state", kept.state)
    assert run.code == 0 and run.out.count("devices.jsonl: written anew") == 1, run
    assert "since it tells of what is lost" in run.out, run
    assert kept.cli("log", "verify", "--state", kept.state).code == 0
    kept.start()
    assert kept.status()["devices"] == 1


def damage(path, number):
    """Flips a bit in the checksum of the line of this number, which stays readable."""
    data = bytearray(path.read_bytes())
    line = next(line for line in journal.read(path).lines if line.json.get("seq") == number)
    data[line.offset + len(line.raw.rstrip()) - 5] ^= 1
    path.write_bytes(data)


def test_a_profile_whose_end_is_damaged_provisions_nobody(hub):
    """Under serve-rest its older state was served again: a key that had been withdrawn worked."""
    profile = hub.create_profile()
    assert hub.admin("DELETE", f"/api/deviceProfile/{profile.id}").status == 200
    other = hub.create_profile("Q")
    hub.stop()
    damage(hub.state / "profiles.jsonl", 2)
    rest = Hub("store.damaged=serve-rest")
    try:
        for name in ("profiles.jsonl", "devices.jsonl"):
            (rest.state / name).write_bytes((hub.state / name).read_bytes())
            (rest.state / name).chmod(0o600)
        rest.start()
        rest.guard(profile.secret, other.secret)
        assert rest.provision(profile.request("boiler")).json["status"] == "NOT_FOUND"
        assert rest.provision(other.request("boiler")).json["status"] == "SUCCESS"
    finally:
        rest.close()


def test_one_lost_device_does_not_end_the_list(kept):
    """Its superseded line is still whole; looking for its newest state made the whole list fail."""
    damage(kept.state / "devices.jsonl", 2)
    rest = Hub("store.damaged=serve-rest")
    try:
        for name in ("profiles.jsonl", "devices.jsonl"):
            (rest.state / name).write_bytes((kept.state / name).read_bytes())
            (rest.state / name).chmod(0o600)
        rest.start()
        assert [device["name"] for device in rest.devices()] == ["pump"]
    finally:
        rest.close()


def drop(path, number):
    """Takes a line, counted from 0, out of a log; the bytes it had."""
    lines = path.read_bytes().splitlines(keepends=True)
    gone = lines.pop(number)
    path.write_bytes(b"".join(lines))
    return gone


@pytest.fixture
def four(hub, profile):
    """A stopped hub with four devices; their answers."""
    answers = {name: hub.provision(profile.request(name)).json for name in "abcd"}
    hub.stop()
    return hub, profile, answers


def test_what_is_held_back_is_not_compacted_away(four):
    """It counted as replaced: its lines went, the log looked whole, and its device got other credentials."""
    hub, profile, answers = four
    path = hub.state / "devices.jsonl"
    drop(path, 3)
    before = path.read_bytes()
    hub.settings += ["store.damaged=serve-rest"]
    hub.start()
    run = hub.cli("log", "compact")
    assert run.code == 65 and "repair" in run.err, run
    assert path.read_bytes().startswith(before)
    assert hub.provision(profile.request("a")).json["reason"] == "STORAGE"
    assert hub.provision(profile.request("d")).json["credentialsValue"] == answers["d"]["credentialsValue"]


def test_a_log_without_its_head_is_no_trap(four):
    """The first record was at byte 0, where no record can be: the hub died at every start."""
    hub, profile, answers = four
    drop(hub.state / "devices.jsonl", 0)
    for setting in ("store.damaged=refuse", "store.damaged=serve-rest"):
        hub.settings = [setting]
        run = hub.refused()
        assert run.code == 65 and "not the head" in run.err, run
    run = hub.cli("log", "repair", "--state", hub.state)
    assert run.code == 0, run
    hub.start()
    for name, answer in answers.items():
        assert hub.provision(profile.request(name)).json["credentialsValue"] == answer["credentialsValue"]


def compacted(hub, profile, answers):
    """Makes the hub's log one that was written anew: four records, then the seal."""
    hub.start()
    device = hub.device("a")
    path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/attributes/SERVER_SCOPE"
    assert hub.admin("POST", path, {"floor": 3}).status == 200
    assert hub.cli("log", "compact").code == 0
    hub.stop()
    lines = (hub.state / "devices.jsonl").read_bytes().splitlines()
    (seal,) = [number for number, line in enumerate(lines) if b'"mark":"seal"' in line]
    assert seal == 1 + len(answers)
    return seal


def test_a_record_that_is_missing_before_the_seal_is_noticed(four):
    """Nobody was held back and nothing was said: the seal tells how many records there were."""
    hub, profile, answers = four
    seal = compacted(*four)
    drop(hub.state / "devices.jsonl", seal - 2)
    hub.settings += ["store.damaged=serve-rest"]
    hub.start()
    assert "cannot be attributed" in hub.stderr
    refused = [name for name in answers if hub.provision(profile.request(name)).json.get("reason") == "STORAGE"]
    assert refused, hub.stderr


def test_a_log_that_ends_before_its_seal_is_refused(four):
    """Numbers that had been used were used again."""
    hub, profile, answers = four
    seal = compacted(*four)
    path = hub.state / "devices.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:seal]))
    for setting in ("store.damaged=refuse", "store.damaged=serve-rest"):
        hub.settings = [setting]
        run = hub.refused()
        assert run.code == 65 and "seal" in run.err, run
