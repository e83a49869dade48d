"""Which configuration and which state a command means: the same one, whatever the command."""

import shutil

import pytest


@pytest.fixture
def elsewhere(hub, profile):
    """A hub with a device, whose configuration names its state directory."""
    hub.provision(profile.request("meter-1"))
    with hub.configuration.open("a") as file:
        file.write(f"\n[store]\ndirectory = {hub.state}\n")
    return hub


@pytest.mark.parametrize("runs", [True, False])
def test_every_command_means_the_configured_hub(elsewhere, runs):
    """Half of them took no notice of NEARHUB_CONFIG, and looked at /var/lib/nearhub."""
    hub = elsewhere
    if not runs:
        hub.stop()
    assert hub.cli("paths", "--json").json["state"] == str(hub.state)
    assert hub.cli("paths", "--json").json["configuration"] == str(hub.configuration)
    check = hub.cli("check")
    assert check.code == 0 and "1 devices" in check.out and str(hub.configuration) in check.out, check
    assert f"{hub.state}/devices.jsonl: 1 records" in hub.cli("log", "verify").out
    assert hub.cli("log", "compact").code == 0
    assert "meter-1" in hub.cli("audit").out
    assert hub.cli("backup", hub.directory / f"{runs}.tar").code == 0
    repair = hub.cli("log", "repair")
    assert repair.code == (75 if runs else 0) and str(hub.state) in repair.out + repair.err, repair


def test_a_running_hub_is_meant_wherever_its_state_is(hub, profile):
    hub.provision(profile.request("meter-1"))
    assert f"{hub.state}/devices.jsonl: 1 records" in hub.cli("log", "verify").out
    assert hub.cli("paths", "--json").json["state"] == str(hub.state)
    assert "1 devices" in hub.cli("check").out


def test_the_hub_and_a_restore_take_the_configured_directory(elsewhere):
    hub = elsewhere
    archive = hub.directory / "hub.tar"
    assert hub.cli("backup", archive).code == 0
    hub.stop()
    hub.state.rename(hub.directory / "old")
    run = hub.cli("restore", archive, "--replace-gateway")
    assert run.code == 0 and f"restored in {hub.state}: 1 profiles, 1 devices" in run.out, run
    hub.start()
    assert hub.status()["devices"] == 1


def test_a_copy_that_others_may_read_can_be_looked_at(hub, profile):
    """It was refused (78) as if a hub were to start on it; a FAT stick knows no permissions."""
    hub.provision(profile.request("meter-1"))
    copy = hub.directory / "copy"
    shutil.copytree(hub.state, copy)
    for path in [copy, *copy.iterdir()]:
        path.chmod(0o755)
    verify = hub.cli("log", "verify", "--state", copy)
    assert verify.code == 0 and "devices.jsonl: 1 records" in verify.out, verify
    check = hub.cli("check", "--state", copy)
    assert check.code == 0 and "1 devices" in check.out and "no hub starts on it" in check.out, check
    assert hub.cli("backup", hub.directory / "copy.tar", "--state", copy).code == 0
    repair = hub.cli("log", "repair", "--state", copy)
    assert repair.code == 78 and "chmod 700" in repair.err, repair
    hub.stop()
    hub.state.chmod(0o755)
    hub.configuration.write_text(hub.configuration.read_text() + f"\n[store]\ndirectory = {hub.state}\n")
    assert hub.cli("check").code == 78
    hub.state.chmod(0o700)


def test_a_state_that_is_not_there_says_what_to_do(hub):
    for command in ("verify", "repair", "compact"):
        run = hub.cli("log", command, "--state", hub.directory / "nope")
        assert run.code == 74 and "--state" in run.err, run
