"""A device log older than what upstream.jsonl has seen of it: found out at the start, never taken for the whole truth."""

import shutil

from harness import eventually
from upstream import connected, retained, settings, settled


def old_copy(hub, profile):
    """A stopped hub with two devices, and its device log of when there was one."""
    hub.provision(profile.request("meter-1"))
    hub.restart()
    old = (hub.state / "devices.jsonl").read_bytes()
    hub.provision(profile.request("meter-2"))
    hub.stop()
    return old


def put(path, content):
    path.write_bytes(content)
    path.chmod(0o600)


def test_an_older_device_log_is_refused(hub, profile):
    old = old_copy(hub, profile)
    new = (hub.state / "devices.jsonl").read_bytes()
    put(hub.state / "devices.jsonl", old)
    run = hub.refused()
    assert run.code == 65 and "devices.jsonl" in run.err and "though records up to seq 2 were on disk" in run.err, run
    assert hub.cli("check", "--state", hub.state).code == 65
    assert hub.cli("backup", hub.directory / "b.tar", "--state", hub.state).code == 65
    put(hub.state / "devices.jsonl", new)
    assert hub.start().status()["devices"] == 2


def test_a_device_log_cut_short_is_refused_after_a_kill_too(hub, profile):
    """The witness is written within 5 s, synced, whether upstream is on or not."""
    hub.provision(profile.request("meter-1"))
    size = (hub.state / "devices.jsonl").stat().st_size
    hub.provision(profile.request("meter-2"))
    eventually(lambda: '"devices":2' in (hub.state / "upstream.jsonl").read_text(), 8)
    hub.kill9()
    put(hub.state / "devices.jsonl", (hub.state / "devices.jsonl").read_bytes()[:size])
    assert hub.refused().code == 65


def test_a_repaired_log_uses_no_number_again_and_upstream_is_told_anew(hubs, open_broker):
    hub = hubs(*settings("journal", open_broker.url)).start()
    profile = hub.create_profile()
    connected(hub)
    old = old_copy(hub, profile)
    put(hub.state / "devices.jsonl", old)
    assert hub.refused().code == 65
    assert hub.cli("log", "repair", "--state", hub.state).code == 0
    assert list(hub.state.glob("upstream.jsonl.damaged-*"))
    hub.start()
    assert hub.status()["devices"] == 1
    hub.provision(profile.request("meter-3"))
    settled(hub, confirmed=2)
    assert {record["seq"] for record in retained(open_broker).values() if record["name"] == "meter-3"} == {3}


def test_a_damaged_upstream_log_is_repaired(hub, profile):
    old_copy(hub, profile)
    path = hub.state / "upstream.jsonl"
    content = bytearray(path.read_bytes())
    content[content.index(b'"cursor"') + 3] ^= 1
    put(path, bytes(content))
    assert hub.refused().code == 65
    copy = hub.directory / "copy"
    shutil.copytree(hub.state, copy)
    assert hub.cli("log", "repair", "--state", copy).code == 0
    assert hub.cli("check", "--state", copy).code == 0


def test_devices_of_another_hub_are_refused(hub, hubs, profile):
    old_copy(hub, profile)
    other = hubs().start()
    old_copy(other, other.create_profile())
    put(hub.state / "devices.jsonl", (other.state / "devices.jsonl").read_bytes())
    run = hub.refused()
    assert run.code == 65 and "another log" in run.err, run
