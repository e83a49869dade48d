"""Backup and restore: a copy made at any moment works, one file holds all, and what is restored is checked first."""

import gzip
import io
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tarfile
import threading

import pytest

import faultline
import journal
from harness import Hub, binary, canary

NAMES = ["devices.jsonl", "profiles.jsonl"]
MEMBERS = ["upstream.jsonl", *NAMES, "admin.jsonl"]


class Load:
    """Devices that keep coming while a test does something else."""

    def __init__(self, hub, profile, threads: int = 4):
        self.hub, self.profile = hub, profile
        self.answered: dict[str, str] = {}
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(index,)) for index in range(threads)]

    def run(self, index: int):
        connection, number = self.hub.connect(), 0
        while not self.stopping.is_set():
            name = f"meter-{index}-{number}"
            connection.request("POST", "/api/v1/provision", json.dumps(self.profile.request(name)))
            answer = json.loads(connection.getresponse().read())
            self.answered[name] = answer["credentialsValue"]
            number += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(10)


def started_on(hubs, state: pathlib.Path) -> Hub:
    """Another hub on a copy of a state."""
    hub = hubs()
    hub.state.rmdir()
    shutil.move(state, hub.state)
    return hub.start()


def expect_all(hub: Hub, answered: dict[str, str]):
    """Every device has the token it was told."""
    names = {device["name"] for device in hub.devices()}
    assert answered.keys() <= names
    for name, token in list(answered.items())[:: max(1, len(answered) // 50)]:
        assert hub.credentials(name)["credentialsId"] == token


def heads(directory: pathlib.Path) -> dict[str, str]:
    return {name: json.loads((directory / name).open().readline())["id"] for name in NAMES}


def archive(members: dict[str, bytes], **options) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o666
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def state(hub, profile):
    """The files of a stopped hub with two devices."""
    hub.provision(profile.request("meter-1"))
    hub.provision(profile.request("meter-2"))
    hub.stop()
    return {name: (hub.state / name).read_bytes() for name in NAMES}


def restore(hub, content: bytes, *options, place: str = "restored"):
    path = hub.directory / "archive.tar"
    path.write_bytes(content)
    return hub.cli("restore", path, "--state", hub.directory / place, *options)


# A copy of a running hub


def test_a_copy_of_the_directory_of_a_running_hub_is_a_backup(hub, profile, hubs):
    with Load(hub, profile) as load:
        while len(load.answered) < 200:
            pass_time(0.01)
        for number in range(4):
            copy = hub.directory / f"copy-{number}"
            promised = dict(load.answered)
            if number == 0:  # whatever the order: only a profile made at this very moment would be missing
                subprocess.run(["cp", "-rp", hub.state, copy], check=True)
            else:  # devices first: each file is then older than what it refers to
                copy.mkdir(mode=0o700)
                subprocess.run(["cp", *(hub.state / name for name in NAMES), copy], check=True)
            other = started_on(hubs, copy)
            assert "not in profiles.jsonl" not in other.stderr
            expect_all(other, promised)
            other.stop()


def test_a_backup_of_a_running_hub_has_all_that_was_answered(hub, profile, hubs):
    with Load(hub, profile) as load:
        while len(load.answered) < 200:
            pass_time(0.01)
        for number in range(3):
            promised = dict(load.answered)
            file = hub.directory / f"backup-{number}.tar"
            done = hub.cli("backup", file)
            assert done.code == 0, done.err
            with tarfile.open(file) as tar:
                assert tar.getnames() == MEMBERS
                assert all(tar.extractfile(name).read().endswith(b"\n") for name in MEMBERS)
            place = hub.directory / f"restored-{number}"
            assert hub.cli("restore", file, "--state", place).code == 0
            other = started_on(hubs, place)
            expect_all(other, promised)
            assert other.provision(profile.request("meter-0-0")).json["credentialsValue"] == promised["meter-0-0"]
            other.stop()


def test_backups_one_after_the_other_hold_exactly_what_they_say(hub, profile):
    """What was inspected is what is copied, whatever comes or is put in a log's place meanwhile."""
    generations = set()
    with Load(hub, profile) as load:
        while len(load.answered) < 200:
            pass_time(0.01)
        device = hub.device("meter-0-0")["id"]["id"]
        for number in range(12):
            hub.ask("POST", f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE", {"note": number})
            promised = load.answered.keys() | set()
            hub.ask("POST", "/api/nearhub/log/compact")
            file = hub.directory / f"backup-{number}.tar"
            done = hub.cli("backup", file, "--json")
            assert done.code == 0, done
            copy = hub.directory / f"copy-{number}"
            copy.mkdir()
            with tarfile.open(file) as tar:
                tar.extractall(copy, filter="data")
            log = journal.read(copy / "devices.jsonl")
            assert log.torn == b"" and done.json["devices"] == len(log.devices)
            assert log.devices.keys() >= promised
            generations.add(log.marks("head")[0]["gen"])
    assert len(generations) > 3, "hardly a compaction"


def test_a_restore_whose_name_could_not_be_synced_says_where_it_is(hub, state):
    path = hub.directory / "archive.tar"
    path.write_bytes(archive(state))
    place = hub.directory / "restored"
    rules = faultline.environment(hub.directory, rules=f"fsync/{hub.directory.name}:*:EIO")
    done = hub.cli("restore", path, "--state", place, environment=rules)
    assert done.code == 74 and f"the state is restored in {place}" in done.err and "power cut" in done.err, done
    assert hub.cli("check", "--state", place).code == 0


def pass_time(seconds: float):
    threading.Event().wait(seconds)


# The archive


def test_the_archive_is_for_its_owner_only_and_any_tar_reads_it(hub, profile):
    hub.provision(profile.request("meter-1"))
    file = hub.directory / "backup.tar"
    done = hub.cli("backup", file, "--json")
    assert done.json == {"file": str(file), "profiles": 1, "devices": 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    listed = subprocess.run(["tar", "-tvf", file], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["-rw-------"] * len(MEMBERS)
    assert listed.stderr == ""
    out = hub.directory / "out"
    out.mkdir()
    subprocess.run(["tar", "-C", out, "-xf", file], check=True)
    assert (out / "profiles.jsonl").read_bytes() == (hub.state / "profiles.jsonl").read_bytes()


def test_it_overwrites_nothing(hub, profile):
    file = hub.file("backup.tar", "precious")
    done = hub.cli("backup", file)
    assert done.code == 1 and f"{file} is there already" in done.err
    assert file.read_text() == "precious"


def test_it_goes_to_standard_output_and_comes_from_standard_input(hub, profile):
    hub.provision(profile.request("meter-1"))
    place = hub.directory / "restored"
    pipe = f"{binary()} backup - | {binary()} restore - --state {place} --json"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipe], capture_output=True, text=True,
        env={**hub.environment, "NEARHUB_CONFIG": str(hub.configuration)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"state": str(place), "gateway": "new", "profiles": 1, "devices": 1}
    assert hub.cli("backup", "-", "--json").code == 64


def test_a_damaged_state_is_not_backed_up(hub, state):
    path = hub.state / "devices.jsonl"
    path.write_bytes(state["devices.jsonl"].replace(b"meter-1", b"meter-X", 1))
    file = hub.directory / "backup.tar"
    done = hub.cli("backup", file, "--state", hub.state)
    assert done.code == 65 and "devices.jsonl" in done.err and not file.exists()


def test_a_full_disk_leaves_no_half_archive(hub, state):
    done = subprocess.run(
        ["prlimit", "--fsize=700", binary(), "backup", "b.tar", "--state", hub.state], cwd=hub.directory,
        capture_output=True, text=True, env=hub.environment,
    )
    assert done.returncode == 74 and "File too large" in done.stderr
    assert not (hub.directory / "b.tar").exists()


def test_what_is_no_state_is_not_backed_up(hub):
    done = hub.cli("backup", hub.directory / "b.tar", "--state", "/nowhere")
    assert done.code == 74 and "/nowhere" in done.err and not (hub.directory / "b.tar").exists()


# What is restored


def test_a_restored_state_is_another_hub_with_the_same_devices(hub, state):
    done = restore(hub, archive(state), "--json")
    place = hub.directory / "restored"
    assert done.json == {"state": str(place), "gateway": "new", "profiles": 1, "devices": 2}
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert all(stat.S_IMODE((place / name).stat().st_mode) == 0o600 for name in NAMES)
    for name in NAMES:
        old, new = state[name].splitlines(), (place / name).read_bytes().splitlines()
        assert old[1:] == new[1:] and len(old[0]) == len(new[0])
    old, new = heads(hub.state), heads(place)
    assert not set(old.values()) & set(new.values())
    assert hub.cli("check", "--state", place).code == 0
    assert not place.with_name("restored.restoring").exists()


def test_with_replace_gateway_it_is_the_same_hub(hub, state):
    assert restore(hub, archive(state), "--replace-gateway", "--json").json["gateway"] == "replaced"
    for name in NAMES:
        assert (hub.directory / "restored" / name).read_bytes() == state[name]


def test_upstream_is_told_anew_by_another_hub_only(hub, state):
    members = {name: (hub.state / name).read_bytes() for name in MEMBERS}
    assert restore(hub, archive(members), place="other").code == 0
    assert not (hub.directory / "other" / "upstream.jsonl").exists()
    assert restore(hub, archive(members), "--replace-gateway", place="same").code == 0
    assert (hub.directory / "same" / "upstream.jsonl").exists()


def test_another_hub_gets_an_id_of_its_own_and_the_same_one_keeps_it(hub, hubs, profile):
    """Upstream two hubs of one id would disconnect each other, and overwrite each other's devices."""
    before = hub.status()["upstream"]["hub"]
    hub.stop()
    file = hub.directory / "b.tar"
    assert hub.cli("backup", file, "--state", hub.state).code == 0
    for options, is_same in [([], False), (["--replace-gateway"], True)]:
        other = hubs()
        other.state.rmdir()
        assert other.cli("restore", file, "--state", other.state, *options).code == 0
        assert (other.start().status()["upstream"]["hub"] == before) is is_same
        other.restart()
        assert (other.status()["upstream"]["hub"] == before) is is_same


def test_an_archive_of_the_directory_made_by_tar_will_do(hub, state):
    (hub.state / "devices.jsonl.torn-1").touch(mode=0o600)
    for format in ("gnu", "posix", "ustar", "v7"):
        made = subprocess.run(
            ["tar", "-C", hub.state, f"--format={format}", "-cf", "-", "."], capture_output=True, check=True
        )
        done = restore(hub, made.stdout, place=f"from-{format}")
        assert done.code == 0, done.err
        assert sorted(os.listdir(hub.directory / f"from-{format}")) == sorted({*MEMBERS} - {"upstream.jsonl"})


@pytest.mark.parametrize("there", ["lock", "devices.jsonl", ".hidden"])
def test_nothing_is_restored_over_anything(hub, state, there):
    place = hub.directory / "restored"
    place.mkdir(mode=0o700)
    (place / there).touch()
    done = restore(hub, archive(state))
    assert done.code == 1 and f"{place} is not empty" in done.err
    assert os.listdir(place) == [there]


def test_nothing_is_restored_into_a_running_hub(hub, profile):
    file = hub.directory / "b.tar"
    assert hub.cli("backup", file).code == 0
    done = hub.cli("restore", file, "--state", hub.state)
    assert done.code == 1 and "stop the hub" in done.err


def test_an_empty_directory_is_taken_with_its_owner(hub, state):
    place = hub.directory / "restored"
    place.mkdir(mode=0o755)
    owner = 65533 if os.geteuid() == 0 else os.geteuid()
    os.chown(place, owner, -1)
    assert restore(hub, archive(state)).code == 0
    assert {path.stat().st_uid for path in [place, *place.iterdir()]} == {owner}
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


HOSTILE = {
    "a path up": {"../devices.jsonl": b"x"},
    "a path up in the middle": {"a/../../devices.jsonl": b"x"},
    "an absolute path": {"/tmp/devices.jsonl": b"x"},
    "a file in a directory": {"sub/devices.jsonl": b"x"},
    "a stranger": {"authorized_keys": b"x"},
    "a stranger that looks like one of ours": {"devices.jsonl.d/../../x": b"x"},
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_archive_with_anything_else_is_refused(hub, state, members):
    before = sorted(path for path in hub.directory.rglob("*"))
    done = restore(hub, archive({**state, **members}))
    assert done.code == 65 and "no file of a state directory" in done.err
    assert sorted(path for path in hub.directory.rglob("*")) == sorted([*before, hub.directory / "archive.tar"])


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_an_archive_with_links_and_devices_is_refused(hub, state, type):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo("devices.jsonl")
        info.type, info.linkname = type, "/etc/passwd"
        tar.addfile(info)
    assert restore(hub, file.getvalue()).code == 65
    assert not (hub.directory / "restored").exists()


def test_a_link_in_the_way_of_the_draft_is_not_followed(hub, state):
    (hub.directory / "restored.restoring").symlink_to(hub.state)
    assert restore(hub, archive(state)).code == 74
    assert {name: (hub.state / name).read_bytes() for name in NAMES} == state


def test_a_draft_that_was_left_behind_is_no_obstacle(hub, state):
    draft = hub.directory / "restored.restoring"
    draft.mkdir(mode=0o700)
    (draft / "devices.jsonl").write_bytes(b"half")
    assert restore(hub, archive(state)).code == 0
    assert not draft.exists()


def test_a_damaged_archive_is_refused_wherever_it_is_cut_or_flipped(hub, state):
    whole = archive(state, format=tarfile.USTAR_FORMAT)
    end = whole.rindex(b"}") + 2
    for length in [0, 1, 511, 512, 513, 1024, end - 1, (end + 511) // 512 * 512]:
        done = restore(hub, whole[:length])
        assert done.code == 65, (length, done)
    for offset in range(0, end, 97):
        flipped = bytearray(whole)
        flipped[offset] ^= 1
        done = restore(hub, bytes(flipped), place=f"r{offset}")
        if done.code == 0:  # padding, or a header's field that does not matter: then the content is the same
            for name in NAMES:
                restored = (hub.directory / f"r{offset}" / name).read_bytes()
                assert restored.splitlines()[1:] == state[name].splitlines()[1:]
        else:
            assert done.code == 65 and not (hub.directory / f"r{offset}").exists()


def test_a_batch_that_a_power_cut_interrupted_is_left_out(hub, state):
    path = hub.state / "devices.jsonl"
    for torn in (b'{"seq":3,"dur', b'{"seq":3,"durable":2}\n{"seq":4,"dur'):
        path.write_bytes(state["devices.jsonl"] + torn)
        file = hub.directory / f"b{len(torn)}.tar"
        assert hub.cli("backup", file, "--state", hub.state).code == 0
        with tarfile.open(file) as tar:
            assert tar.extractfile("devices.jsonl").read() == state["devices.jsonl"]
    # As tar may copy it from a running hub
    assert restore(hub, archive(state | {"devices.jsonl": state["devices.jsonl"] + b'{"seq":3,"dur'})).code == 0


@pytest.mark.parametrize("missing", NAMES)
def test_an_archive_that_lacks_a_log_is_refused(hub, state, missing):
    done = restore(hub, archive({name: content for name, content in state.items() if name != missing}))
    assert done.code == 65 and f"no {missing} in it" in done.err and not (hub.directory / "restored").exists()


def test_what_is_no_archive_is_refused_with_advice(hub, state):
    done = restore(hub, gzip.compress(archive(state)))
    assert done.code == 65 and "gunzip it first" in done.err
    assert restore(hub, canary().encode() * 100).code == 65
    assert hub.cli("restore", "/nowhere", "--state", hub.directory / "restored").code == 74
