"""Logs as crashes, bad disks and careless people leave them: the unfinished is cut off, the damaged is refused."""

import os
import re
import shutil

import pytest

import journal
from harness import Hub

DEVICES = 8
LINES_CUT = 3
CUTS_PER_LINE = 12


@pytest.fixture(scope="module")
def original():
    """A hub that provisioned eight devices and was killed, so that its log ends with the last device."""
    hub = Hub()
    try:
        hub.start()
        profile = hub.create_profile()
        for number in range(DEVICES):
            assert hub.provision(profile.request(f"d{number}")).json["status"] == "SUCCESS"
        hub.kill9()
        hub.log = journal.read(hub.state / "devices.jsonl")
        hub.profile = profile
        assert len(hub.log.records) == DEVICES
        yield hub
    finally:
        hub.close()


@pytest.fixture
def copy(original, hubs):
    """A stopped hub with a copy of that state, to be spoiled."""
    hub = hubs()
    hub.guard(*original.guarded)
    for file in ("devices.jsonl", "profiles.jsonl"):
        shutil.copy2(original.state / file, hub.state / file)
    return hub


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x04
    path.write_bytes(data)


def damage_named(run, file, line):
    """Asserts that a refusal names file, offset and line, and what to do."""
    assert run.code == 65, run
    assert file in run.err
    assert re.search(rf"line {line.number}\b", run.err), run.err
    offset = int(re.search(r"\b(?:byte|offset) (\d+)", run.err)[1])
    assert line.offset <= offset < line.end


def numbered(log, index):
    """The line of that index, with the number that people count from one."""
    line = log.lines[index]
    line.number = index + 1
    return line


# The unfinished end


@pytest.mark.parametrize("from_end", range(1, LINES_CUT + 1))
@pytest.mark.parametrize("part", range(CUTS_PER_LINE))
def test_a_cut_log_loses_only_what_was_cut(original, copy, from_end, part):
    path, line = copy.state / "devices.jsonl", original.log.records[-from_end]
    at = line.offset + (len(line.raw) - 1) * part // (CUTS_PER_LINE - 1)  # the first byte … all but the newline
    os.truncate(path, at)
    kept = original.log.records[: DEVICES - from_end]
    copy.start()
    assert [device["name"] for device in copy.devices()] == [f"d{number}" for number in range(len(kept))]
    torn = sorted(copy.state.glob("devices.jsonl.torn-*"))
    assert [file.read_bytes() for file in torn] == ([line.raw[: at - line.offset]] if at > line.offset else [])
    assert copy.provision(original.profile.request("after")).json["status"] == "SUCCESS"
    copy.stop()
    log = journal.read(path)
    log.verify()
    assert log.torn == b""
    assert [device for device in log.devices] == [*(f"d{number}" for number in range(len(kept))), "after"]
    assert path.read_bytes().startswith(original.state.joinpath("devices.jsonl").read_bytes()[: line.offset])


@pytest.mark.parametrize("tail", [
    b"\n", b"\0" * 4096, b"{", b'{"seq":9', b'{"seq":9,"durable":8}\n',
    b"\xff\xfe\n\n", b'{"mark":"sync","durable":8,"xxh3":"0123456789abcdef"}\n',
], ids=lambda tail: repr(tail[:12]))  # fmt: skip
def test_rubbish_behind_the_last_line_is_kept_aside(original, copy, tail):
    path = copy.state / "devices.jsonl"
    with open(path, "ab") as file:
        file.write(tail)
    copy.start()
    assert copy.status()["devices"] == DEVICES
    assert [file.read_bytes() for file in copy.state.glob("devices.jsonl.torn-*")] == [tail]
    assert copy.provision(original.profile.request("after")).json["status"] == "SUCCESS"
    copy.stop()
    journal.read(path).verify()


def test_a_cut_in_the_profiles_log_is_no_different(original, copy):
    path = copy.state / "profiles.jsonl"
    with open(path, "ab") as file:
        file.write(b'{"seq":2,"durable":1,"at":')
    copy.start()
    assert copy.status()["profiles"] == 1
    assert [file.read_bytes() for file in copy.state.glob("profiles.jsonl.torn-*")] == [b'{"seq":2,"durable":1,"at":']


def test_recovery_reaches_rest(original, copy):
    """A second start after a repaired tail changes nothing but the mark of its stop."""
    os.truncate(copy.state / "devices.jsonl", original.log.records[-1].end - 5)
    copy.start()
    copy.stop()
    first = copy.state.joinpath("devices.jsonl").read_bytes()
    copy.start()
    assert copy.state.joinpath("devices.jsonl").read_bytes() == first
    assert len(list(copy.state.glob("devices.jsonl.torn-*"))) == 1


def test_check_accepts_an_unfinished_end_and_changes_nothing(original, copy):
    path = copy.state / "devices.jsonl"
    os.truncate(path, original.log.records[-1].end - 5)
    before = {file.name: file.read_bytes() for file in copy.state.iterdir()}
    done = copy.cli("check", "--config", copy.configuration, "--state", copy.state)
    assert done.code == 0, done
    assert {file.name: file.read_bytes() for file in copy.state.iterdir()} == before


# Damage


@pytest.mark.parametrize("index", [0, 1, 3, 5])
@pytest.mark.parametrize("where", ["start", "middle", "checksum", "newline"])
def test_a_flipped_byte_in_an_early_line_is_named(original, copy, index, where):
    line = numbered(original.log, index)
    at = {"start": 1, "middle": len(line.raw) // 2, "checksum": len(line.raw) - 5, "newline": len(line.raw) - 1}[where]
    flip(copy.state / "devices.jsonl", line.offset + at)
    damage_named(copy.refused(), "devices.jsonl", line)
    checked = copy.cli("check", "--config", copy.configuration, "--state", copy.state)
    damage_named(checked, "devices.jsonl", line)


def test_a_flipped_byte_in_the_profiles_log_is_named(original, copy):
    log = journal.read(copy.state / "profiles.jsonl")
    line = numbered(log, 0)
    flip(copy.state / "profiles.jsonl", line.offset + 12)
    damage_named(copy.refused(), "profiles.jsonl", line)


@pytest.mark.parametrize("spoil", [
    lambda lines: lines[:3] + lines[4:],
    lambda lines: lines[:3] + [lines[4], lines[3]] + lines[5:],
    lambda lines: lines[:4] + [lines[3]] + lines[4:],
    lambda lines: lines[1:],
    lambda lines: lines[:3] + [b"\n"] + lines[3:],
], ids=["dropped", "swapped", "doubled", "no-head", "blank"])  # fmt: skip
def test_lines_moved_by_an_editor_are_refused(original, copy, spoil):
    path = copy.state / "devices.jsonl"
    path.write_bytes(b"".join(spoil(path.read_bytes().splitlines(keepends=True))))
    run = copy.refused()
    assert run.code == 65 and "devices.jsonl" in run.err, run


def test_a_rotten_last_line_that_a_mark_proves_is_refused_not_cut(original, copy):
    copy.start()
    copy.stop()  # leaves a sync mark that says everything is durable
    line = numbered(original.log, DEVICES)
    flip(copy.state / "devices.jsonl", line.offset + 20)
    damage_named(copy.refused(), "devices.jsonl", line)


def test_a_missing_last_record_that_a_mark_proves_is_refused(original, copy):
    copy.start()
    copy.stop()
    path = copy.state / "devices.jsonl"
    line = numbered(original.log, DEVICES)
    data = path.read_bytes()
    path.write_bytes(data[: line.offset] + data[line.end :])
    run = copy.refused()
    assert run.code == 65 and f"the log ends at seq {DEVICES - 1}, though records up to seq {DEVICES}" in run.err, run


@pytest.mark.parametrize("old, new", [(b'"format":1', b'"format":2'), (b'"op":"put"', b'"op":"pat"')])
def test_what_a_newer_nearhub_wrote_is_refused_as_such(original, copy, old, new):
    path = copy.state / "devices.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for index, raw in enumerate(lines):
        body = raw[: -journal.TAIL - 1].replace(old, new)
        lines[index] = body + b',"xxh3":"%s"}\n' % journal.xxhash.xxh3_64_hexdigest(body).encode()
    path.write_bytes(b"".join(lines))
    run = copy.refused()
    assert run.code != 0 and "newer" in run.err, run


def test_a_device_whose_profile_is_unknown_is_kept_and_warned_about(original, copy):
    """It is served as long as nobody needs the profile; losing it would lose an issued credential."""
    empty = Hub()
    try:
        empty.start()
        empty.stop()
        shutil.copy2(empty.state / "profiles.jsonl", copy.state / "profiles.jsonl")
    finally:
        empty.close()
    copy.start()
    assert copy.status()["devices"] == DEVICES
    assert f"{DEVICES} devices are of a profile that is not in profiles.jsonl" in copy.stderr
    assert copy.credentials("d3")["credentialsId"]


# The state directory itself


def test_a_second_daemon_on_the_same_state_names_the_first(hub, hubs):
    second = hubs()
    own, second.state = second.state, hub.state
    run = second.refused()
    second.state = own
    assert run.code == 75, run
    assert str(hub.pid) in run.err
    assert hub.http("GET", "/health").status == 200


def test_check_does_not_mind_a_running_daemon(hub, profile):
    hub.provision(profile.request("boiler"))
    assert hub.cli("check", "--config", hub.configuration, "--state", hub.state).code == 0
    assert hub.http("GET", "/health").status == 200


@pytest.mark.parametrize("name", ["devices.jsonl", "profiles.jsonl", ""])
@pytest.mark.parametrize("mode", [0o040, 0o004, 0o020, 0o077])
def test_state_that_others_can_read_is_refused(copy, name, mode):
    path = copy.state / name
    right = path.stat().st_mode & 0o777
    path.chmod(right | mode)
    run = copy.refused()
    path.chmod(right)
    assert run.code > 0 and str(path) in run.err, run


@pytest.mark.parametrize("name", ["devices.jsonl", "profiles.jsonl"])
def test_a_log_that_is_a_symbolic_link_is_refused(copy, name):
    path, elsewhere = copy.state / name, copy.directory / name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    run = copy.refused()
    path.unlink()
    assert run.code > 0 and name in run.err, run


def test_a_state_directory_that_is_a_symbolic_link_is_refused(copy):
    link, real = copy.directory / "link", copy.state
    link.symlink_to(real)
    copy.state = link
    run = copy.refused()
    copy.state = real
    assert run.code > 0 and str(link) in run.err, run


def test_a_state_directory_of_somebody_else_is_refused(copy):
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(copy.state, 65534, 65534)
    run = copy.refused()
    os.chown(copy.state, 0, 0)
    assert run.code > 0 and str(copy.state) in run.err, run


def test_what_is_left_of_an_interrupted_rewrite_is_removed(copy):
    copy.state.joinpath("devices.jsonl.new").touch(mode=0o600)
    copy.start()
    assert not copy.state.joinpath("devices.jsonl.new").exists()
    assert copy.status()["devices"] == DEVICES
