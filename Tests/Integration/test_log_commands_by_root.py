"""Root looks after the state of a hub that runs as another user: what is written there stays that user's."""

import os
import pwd
import stat
import subprocess

import pytest
from harness import binary

# In every Debian and its like; nothing runs as this user.
USER = pwd.getpwnam("games")


@pytest.fixture
def theirs(hubs):
    """A hub of another user, with three devices."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a hub as another user")
    become = ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups", "--pdeathsig", "KILL"]
    if subprocess.run([*become, "test", "-x", binary()]).returncode != 0:
        pytest.skip(f"user {USER.pw_name} may not run {binary()}")
    hub = hubs()
    hub.limits = become
    for path in (hub.directory, hub.state, hub.configuration):
        os.chown(path, USER.pw_uid, USER.pw_gid)
    hub.start()
    return hub


def assert_theirs(hub):
    for path in [hub.state, *hub.state.rglob("*")]:
        info = path.lstat()
        assert (info.st_uid, info.st_gid) == (USER.pw_uid, USER.pw_gid), path
        assert stat.S_IMODE(info.st_mode) == (0o700 if path.is_dir() else 0o600), path


def succeeds(hub, *arguments):
    run = hub.cli(*arguments, "--state", hub.state)
    assert run.code == 0, run
    assert_theirs(hub)
    return run.out


def test_root_looks_after_the_state_of_the_hubs_user(theirs):
    hub = theirs
    profile = hub.create_profile()
    for name in ("a", "b", "c"):
        assert hub.provision(profile.request(name)).json["status"] == "SUCCESS"
    succeeds(hub, "check", "--config", hub.configuration)
    succeeds(hub, "log", "verify")
    busy = hub.cli("log", "repair", "--state", hub.state)
    assert busy.code == 75 and "stop it first" in busy.err

    hub.stop()
    log = hub.state / "devices.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    spoilt = bytearray(lines[2])
    spoilt[len(spoilt) // 2] ^= 0x04
    log.write_bytes(b"".join([*lines[:2], spoilt, *lines[3:]]))
    assert "1 lines set aside" in succeeds(hub, "log", "repair")
    succeeds(hub, "check", "--config", hub.configuration)
    succeeds(hub, "log", "verify")

    hub.start()
    assert len(hub.devices()) == 2
    device = hub.devices()[0]["id"]
    for number in range(20):
        hub.ask("POST", f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE", {"note": number})
    hub.stop()
    assert "before it had" in succeeds(hub, "log", "compact")
    hub.start()
    assert len(hub.devices()) == 2
    assert hub.provision(profile.request("new")).json["status"] == "SUCCESS"
    assert_theirs(hub)


def test_root_goes_nowhere_where_the_hubs_user_may_not_go(theirs):
    hub = theirs
    hub.stop()
    os.chown(hub.directory, 0, 0)
    hub.directory.chmod(0o700)
    for command in ("verify", "repair", "compact"):
        run = hub.cli("log", command, "--state", hub.state)
        assert run.code != 0 and "Permission denied" in run.err, run
    assert_theirs(hub)


def test_the_hub_itself_still_refuses_the_state_of_another(theirs):
    hub = theirs
    hub.stop()
    hub.limits = []
    run = hub.refused()
    assert run.code != 0 and f"belongs to uid {USER.pw_uid}" in run.err
    assert_theirs(hub)
