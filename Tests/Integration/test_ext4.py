"""A real file system that turns read-only under load, as ext4 does when it meets an error of the disk."""

import os
import subprocess

import pytest

import faultline
import journal
import workload
from harness import eventually

IMAGE_MIB = 16


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)


class Image:
    """An ext4 of a hub's own, in a file, mounted on its state directory; `errors=remount-ro`, as Debian sets it up."""

    def __init__(self, hub):
        self.hub = hub
        self.file = hub.directory / "ext4"
        with open(self.file, "wb") as file:
            file.truncate(IMAGE_MIB << 20)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", self.file)
        self.is_mounted = False
        self.mount()
        (hub.state / "lost+found").rmdir()
        hub.state.chmod(0o700)

    def mount(self):
        run("mount", "-o", "loop,errors=remount-ro", self.file, self.hub.state)
        self.is_mounted = True

    def abort(self):
        """What an error of the journal does (mount(8) of ext4): all of the file system is read-only at once."""
        run("mount", "-o", "remount,abort", self.hub.state)

    def unmount(self):
        run("umount", self.hub.state)
        self.is_mounted = False

    def check(self):
        """Repairs it as a boot would."""
        assert subprocess.run(["fsck.ext4", "-p", self.file], capture_output=True, timeout=30).returncode < 4

    def close(self):
        if self.hub.process is not None:
            self.hub.kill9()
        if self.is_mounted:
            self.unmount()


@pytest.fixture
def hub(hubs):
    return hubs()


@pytest.fixture
def image(hub):
    if os.geteuid() != 0:
        pytest.skip("not run: only root mounts; the test beside it breaks the calls instead")
    try:
        image = Image(hub)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"not run: no ext4 image here: {error.stderr.strip()}")
    yield image
    image.close()


def loaded(hub):
    """A running hub with devices coming in on two faces."""
    site = workload.Site(hub)
    hub.environment.pop("FAULT_TRACE")
    hub.start()
    site.add_profile()
    site.load(0.7, "a", administrates=False)
    return site


def stopped(hub):
    """Waits until the hub has ended by itself, as it does when a sync was under way, or refuses changes; then ends it."""
    process = hub.process
    eventually(lambda: process.poll() is not None or "the disk takes no writes" in hub.stderr, 10)
    if process.poll() is None:
        assert hub.status()["journal"]["state"] == "failing"
        hub.kill9()
        return None
    hub.process = None
    return process.returncode


def told_why(hub, status):
    """Whether the log names the file: as the reason to stop, or to refuse changes. Devices have lines behind it."""
    what = "the hub stops" if status == 74 else "the disk takes no writes"
    return any(".jsonl" in line and what in line for line in hub.stderr.splitlines())


def all_there(hub, site):
    """Whoever was answered is there, and new ones get in."""
    log = journal.read(hub.state / "devices.jsonl")
    log.verify()
    assert len(site.answered) > 5
    for name, (identity, credentials) in site.answered.items():
        assert (log.devices[name]["id"], log.devices[name]["credentials"]["id"]) == (identity, credentials)
        assert hub.credentials(name)["credentialsId"] == credentials
    assert hub.provision(site.profiles[0].request("afterwards")).json["status"] == "SUCCESS"


def test_an_ext4_that_turns_read_only_under_load_loses_no_answer(hub, image):
    site = loaded(hub)
    image.abort()
    status = stopped(hub)
    site.finish()
    assert status in (None, 74), hub.stderr
    assert told_why(hub, status), hub.stderr
    refusal = hub.refused()
    assert refusal.code == 74 and "Read-only file system" in refusal.err
    image.unmount()
    image.check()
    image.mount()
    hub.start()
    all_there(hub, site)


def test_an_idle_hub_on_a_disk_turned_read_only_goes_on_without_changes(hub):
    """Nothing was written, so there is nothing to cut back; the cut failed too and ended the hub."""
    rules = hub.directory / "rules"
    rules.touch()
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(rules)}
    hub.start()
    profile = hub.create_profile()
    told = hub.provision(profile.request("early")).json
    rules.write_text("write/*.jsonl:*:EROFS;sync:*:EROFS;truncate:*:EROFS")
    answer = hub.provision(profile.request("late")).json
    assert (answer["status"], answer["reason"]) == ("FAILURE", "STORAGE")
    assert hub.status()["journal"]["state"] == "failing"
    assert hub.provision(profile.request("early")).json == told
    rules.write_text("")
    eventually(lambda: hub.status()["journal"]["state"] == "writing", 20, every=0.1)
    assert hub.provision(profile.request("late")).json["status"] == "SUCCESS"


def test_a_disk_whose_calls_turn_read_only_under_load_loses_no_answer(hub):
    rules = hub.directory / "rules"
    rules.touch()
    hub.environment["FAULT_RULES_FILE"] = str(rules)
    site = loaded(hub)
    rules.write_text("write:*:EROFS;sync:*:EROFS;truncate:*:EROFS;open/*.jsonl:*:EROFS")
    status = stopped(hub)
    site.finish()
    assert status in (None, 74), hub.stderr
    assert told_why(hub, status), hub.stderr
    refusal = hub.refused()
    assert refusal.code == 74 and "Read-only file system" in refusal.err
    rules.write_text("")
    hub.start()
    all_there(hub, site)
