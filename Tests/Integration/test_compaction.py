"""Logs are written anew while the hub serves: nobody notices, whatever the disk does or whoever pulls the plug."""

import contextlib
import random
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import faultline
import journal
from harness import binary, eventually

DEVICES = 40
NOTE = "n" * 3000


def generation(hub, log="devices"):
    with open(hub.state / f"{log}.jsonl", "rb") as file:
        return journal.parse(file.readline())["gen"]


def fill(hub, profile, rounds=4):
    """Devices whose state has been replaced several times; returns their ids by name."""
    ids = {f"d{number}": hub.add_device(f"d{number}", profile)["id"]["id"] for number in range(DEVICES)}
    for number in range(rounds):
        for name in ids:
            note(hub, ids[name], number)
    return ids


def note(hub, device, number):
    hub.ask("POST", attributes(device), {"note": NOTE, "number": number})


def attributes(device):
    return f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE"


def compaction(hub):
    return hub.status()["compaction"]


def compacted(hub):
    """Has the logs written anew; what became of each."""
    hub.ask("POST", "/api/nearhub/log/compact")
    eventually(lambda: not compaction(hub)["running"], 20)
    return {outcome["log"]: outcome for outcome in compaction(hub)["outcomes"]}


class Load:
    """Devices that provision while something else happens; everybody must be answered."""

    def __init__(self, hub, profile, label):
        self.hub, self.profile, self.label = hub, profile, label
        self.promised, self.refused, self.over = {}, [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        eventually(lambda: self.promised or self.refused, 20)
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _run(self):
        number = 0
        while not self.over.is_set():
            name, number = f"{self.label}{number}", number + 1
            with contextlib.suppress(OSError, EOFError):
                answer = self.hub.provision(self.profile.request(name)).json
                if answer.get("status") != "SUCCESS":
                    self.refused.append(answer)
                else:
                    self.promised[name] = answer["credentialsValue"]
            self.over.wait(0.002)


def check(hub, ids, promised, number):
    assert {device["name"] for device in hub.devices()} >= ids.keys() | promised.keys()
    for name, token in list(promised.items())[-40:]:
        assert hub.credentials(name)["credentialsId"] == token
    for name in list(ids)[:5]:
        assert hub.attributes(name)["number"] == number


def test_both_logs_are_written_anew_by_command_while_devices_come(hub, profile):
    ids = fill(hub, profile)
    for number in range(3):
        hub.ask("DELETE", f"/api/deviceProfile/{hub.create_profile(f'short-lived-{number}').id}")
    before = (hub.state / "devices.jsonl").stat().st_size
    with Load(hub, profile, "p") as load:
        run = hub.cli("log", "compact")
    assert run.code == 0 and "before it had" in run.out, run
    assert not load.refused and load.promised
    assert (generation(hub), generation(hub, "profiles")) == (2, 2)
    assert (hub.state / "devices.jsonl").stat().st_size < before / 2
    assert not list(hub.state.glob("*.new"))
    assert hub.cli("log", "verify", "--state", hub.state).code == 0
    check(hub, ids, load.promised, 3)
    again = hub.cli("log", "compact")
    assert again.code == 0 and "devices.jsonl: nothing is replaced" in again.out
    hub.kill9()
    hub.start()
    check(hub, ids, load.promised, 3)
    assert hub.cli("log", "verify", "--state", hub.state).code == 0


def test_copies_backups_and_verifications_during_a_compaction_are_whole(hubs):
    """Each is made while the hub serves and writes its logs anew, and holds whoever had been answered before."""
    hub = hubs()
    hub.environment |= faultline.environment(hub.state, rules="sync/devices.jsonl.new:*:delay=3000")
    hub.start()
    profile = hub.create_profile()
    ids = fill(hub, profile)
    with Load(hub, profile, "p") as load:
        hub.ask("POST", "/api/nearhub/log/compact")
        early = set(load.promised)
        verified = hub.cli("log", "verify", "--state", hub.state)
        backup = hub.cli("backup", hub.directory / "archive", "--state", hub.state)
        copy = hub.directory / "copy"
        shutil.copytree(hub.state, copy)
        assert compaction(hub)["running"], "none of it was during a compaction"
        eventually(lambda: not compaction(hub)["running"], 30)
    assert not load.refused and generation(hub) == 2
    assert verified.code == 0, verified
    assert backup.code == 0, backup
    restored = hub.directory / "restored"
    assert hub.cli("restore", hub.directory / "archive", "--state", restored).code == 0
    for made in (restored, copy):
        log = journal.read(made / "devices.jsonl")
        assert log.devices.keys() >= ids.keys() | early
        assert hub.cli("check", "--state", made).code == 0
    check(hub, ids, load.promised, 3)


def test_a_list_goes_on_behind_a_compaction(hub, profile):
    fill(hub, profile, 1)
    pages = [hub.ask("GET", "/api/nearhub/devices?after=0&limit=15")]
    assert "bytes" in compacted(hub)["devices"]
    hub.restart()
    while pages[-1]["next"] is not None:
        pages.append(hub.ask("GET", f"/api/nearhub/devices?after={pages[-1]['next']}&limit=15"))
    names = [device["name"] for page in pages for device in page["devices"]]
    assert names == [f"d{number}" for number in range(DEVICES)]


@pytest.mark.parametrize(
    "rule",
    (
        "write/devices.jsonl.new:*:ENOSPC",
        "write/devices.jsonl.new:1:EIO",
        "open/devices.jsonl.new:*:EROFS",
        "open/devices.jsonl.new:*:EMFILE",
        "open/devices.jsonl.new:*:ENOMEM",
        "rename/devices.jsonl*:*:ENOSPC",
    ),
)
def test_a_disk_that_takes_no_new_log_leaves_the_old_one_in_charge(hubs, rule):
    hub = hubs()
    hub.environment |= faultline.environment(hub.state, rules=rule)
    hub.start()
    profile = hub.create_profile()
    ids = fill(hub, profile)
    pid = hub.status()["pid"]
    with Load(hub, profile, "p") as load:
        outcome = compacted(hub)["devices"]
    assert "failed" in outcome, outcome
    assert not load.refused and load.promised
    assert hub.status()["pid"] == pid and generation(hub) == 1
    assert not list(hub.state.glob("*.new"))
    assert hub.stderr.count("could not be written anew") == 1
    check(hub, ids, load.promised, 3)
    hub.kill9()
    hub.start()
    check(hub, ids, load.promised, 3)


@pytest.mark.parametrize("name", ("devices.jsonl", "devices.jsonl.new", "."))
def test_without_a_free_descriptor_the_hub_goes_on(hubs, name):
    """Whatever is opened is opened before the new log has its name: then the old one could still be kept."""
    hub = hubs()
    rules = hub.directory / "rules"
    rules.write_text("")
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(rules)}
    hub.start()
    profile = hub.create_profile()
    ids = fill(hub, profile)
    rules.write_text(f"open/{name}:*:EMFILE")
    outcome = compacted(hub)["devices"]
    assert ("bytes" in outcome) == (name == "devices.jsonl"), outcome
    rules.write_text("# some are free again")
    assert not list(hub.state.glob("*.new"))
    assert hub.provision(profile.request("late")).json["status"] == "SUCCESS"
    assert "bytes" in compacted(hub)["devices"] or name == "devices.jsonl"
    hub.kill9()
    hub.start()
    check(hub, ids, {}, 3)
    assert hub.device("late") is not None


def test_the_new_log_is_synced_once_where_nothing_comes_meanwhile(hubs):
    hub = hubs()
    trace = hub.directory / "trace"
    hub.environment |= faultline.environment(hub.state, trace)
    hub.start()
    fill(hub, hub.create_profile())
    eventually(lambda: hub.status()["journal"]["state"] == "writing", 5)
    assert "bytes" in compacted(hub)["devices"]
    events = [event for event in faultline.read(trace) if event.path.endswith("/devices.jsonl.new")]
    last = max(index for index, event in enumerate(events) if event.kind == faultline.WRITE)
    syncs = [index for index, event in enumerate(events) if event.kind == faultline.SYNC_BEGIN]
    assert len(syncs) == 1 and syncs[0] > last, [str(event) for event in events]
    assert events[-1].kind == faultline.RENAME


def test_a_hub_that_is_started_anew_meanwhile_has_not_done_it(hubs):
    """Its status says nothing of compactions that another process had begun: that is no success."""
    hub = hubs()
    hub.environment |= faultline.environment(hub.state, rules="sync/devices.jsonl.new:*:delay=60000")
    hub.start()
    ids = fill(hub, hub.create_profile())
    command = subprocess.Popen(
        [binary(), "log", "compact"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**hub.environment, "NEARHUB_CONFIG": str(hub.configuration)},
    )
    eventually(lambda: compaction(hub)["running"], 20)
    # So that it does not look while there is no hub.
    command.send_signal(signal.SIGSTOP)
    hub.kill9()
    hub.environment.pop("FAULT_RULES")
    hub.start()
    command.send_signal(signal.SIGCONT)
    out, err = command.communicate(timeout=30)
    assert command.returncode in (74, 75) and err and not out.strip(), (command.returncode, out, err)
    check(hub, ids, {}, 3)


def test_a_record_that_cannot_be_read_ends_a_compaction_and_changes_nothing(hubs):
    hub = hubs()
    rules = hub.directory / "rules"
    rules.write_text("")
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(rules)}
    hub.start()
    ids = fill(hub, hub.create_profile())
    rules.write_text("read/devices*:@131072:EIO")
    before = (hub.state / "devices.jsonl").read_bytes()
    run = hub.cli("log", "compact")
    assert run.code == 65 and "devices.jsonl stays as it is" in run.err and "repair" in run.err, run
    assert generation(hub) == 1 and (hub.state / "devices.jsonl").read_bytes().startswith(before)
    assert hub.status()["devices"] == len(ids)


@pytest.mark.parametrize(
    "rule",
    ("fsync/.:*:EIO;fsync/state:*:EIO", "sync/devices.jsonl.new:*:ENOSPC", "sync/devices.jsonl.new:1:EIO"),
    ids=("name", "full", "content"),
)
def test_a_sync_that_fails_stops_the_hub(hubs, rule):
    """Of the name: nobody knows then which of the two logs the disk has; nothing may be answered from either."""
    hub = hubs()
    rules = hub.directory / "rules"
    rules.write_text("")
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(rules)}
    hub.start()
    ids = fill(hub, hub.create_profile())
    rules.write_text(rule)
    hub.ask("POST", "/api/nearhub/log/compact")
    assert hub.process.wait(20) == 74
    hub.process = None
    rules.write_text("# good again")
    hub.start()
    check(hub, ids, {}, 3)


@pytest.mark.parametrize("seed", range(6))
def test_kill_9_during_a_compaction_under_load_loses_nobody(hubs, seed):
    hub = hubs()
    # Slow syncs of the new log make it long enough to be hit.
    hub.environment |= faultline.environment(hub.state, rules="sync/devices.jsonl.new:*:delay=30", seed=seed)
    hub.start()
    profile = hub.create_profile()
    ids = fill(hub, profile)
    dice, promised = random.Random(seed), {}
    for number in range(3):
        with Load(hub, profile, f"p{number}-") as load:
            time.sleep(0.05)
            hub.ask("POST", "/api/nearhub/log/compact")
            time.sleep(dice.uniform(0, 0.15))
            hub.kill9()
        promised |= load.promised
        hub.start()
        assert not list(hub.state.glob("*.new"))
        check(hub, ids, promised, 3)
    assert hub.cli("log", "verify", "--state", hub.state).code == 0


def test_a_full_disk_ends_a_compaction_since_dead_lines_live_again(hubs):
    """What made them dead was on its way to the disk when they were looked at, and is taken back."""
    hub = hubs()
    rules = hub.directory / "rules"
    rules.write_text("")
    hub.environment |= faultline.environment(hub.state) | {"FAULT_RULES_FILE": str(rules)}
    hub.start()
    profile = hub.create_profile()
    ids = {f"d{number}": hub.add_device(f"d{number}", profile)["id"]["id"] for number in range(3)}
    note(hub, ids["d0"], 0)  # one line is dead in any case
    rules.write_text("fdatasync/devices.jsonl:*:delay=3000")
    log, new = hub.state / "devices.jsonl", hub.state / "devices.jsonl.new"
    before = log.stat().st_size
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(hub.provision, profile.request("in the sync"))
        eventually(lambda: log.stat().st_size > before)
        # These wait for that sync; the next write is theirs.
        changes = [pool.submit(hub.admin, "POST", attributes(ids[name]), {"number": 1}) for name in ids]
        time.sleep(0.5)
        pool.submit(hub.ask, "POST", "/api/nearhub/log/compact")  # answered when all before it is on disk, or is not
        eventually(lambda: new.exists() and new.stat().st_size > 0)  # it has asked what is live
        rules.write_text("write/devices.jsonl:*:ENOSPC")
        assert asked.result().json["status"] == "SUCCESS"
        assert {change.result().status for change in changes} == {507}
    rules.write_text("# there is room again")
    eventually(lambda: hub.status()["journal"]["state"] == "writing", 20)
    for number in range(8):  # more lines than were taken back
        assert hub.provision(profile.request(f"p{number}")).json["status"] == "SUCCESS"
    eventually(lambda: not compaction(hub)["running"], 20)
    assert "failed" in compaction(hub)["outcomes"][-1], compaction(hub)
    assert generation(hub) == 1 and not list(hub.state.glob("*.new"))
    for _ in range(2):
        assert {name: hub.device(name)["id"]["id"] for name in ids} == ids
        assert hub.attributes("d0")["number"] == 0
        hub.restart()


def test_a_stop_ends_a_compaction(hubs):
    hub = hubs()
    hub.environment |= faultline.environment(hub.state, rules="sync/devices.jsonl.new:*:delay=300")
    hub.start()
    ids = fill(hub, hub.create_profile())
    hub.ask("POST", "/api/nearhub/log/compact")
    assert hub.stop() < 5
    hub.start()
    check(hub, ids, {}, 3)
