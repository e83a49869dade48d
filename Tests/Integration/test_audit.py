"""The audit log: what changed and what was refused, who did it, over what; in a flood counted; never a secret."""

import json
import os
import signal
import subprocess
import time

import pytest

from harness import binary, canary, eventually

FILE_LIMIT = 10 << 20


def lines(hub, suffix: str = "") -> list[dict]:
    path = hub.state / f"audit.jsonl{suffix}"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def without_time(entry: dict) -> dict:
    return {name: value for name, value in entry.items() if name != "at"}


def line_like(hub, **members) -> dict:
    """The first line with these members, once it is there."""

    def look():
        return next((one for one in lines(hub) if members.items() <= one.items()), None)

    return eventually(look)


def test_a_provisioned_device_has_a_line_with_the_number_of_its_record(hub, profile):
    hub.provision(profile.request("meter-1"))
    entry = line_like(hub, result="provisioned")
    assert without_time(entry) == {
        "seq": 1, "face": "http", "peer": "127.0.0.1", "profile": "P", "device": "meter-1", "result": "provisioned",
    }
    assert abs(time.mktime(time.strptime(entry["at"][:19] + "UTC", "%Y-%m-%dT%H:%M:%S%Z")) - time.time()) < 86_400
    records = [json.loads(line) for line in (hub.state / "devices.jsonl").read_text().splitlines()]
    assert [one["device"]["name"] for one in records if one.get("seq") == entry["seq"]] == ["meter-1"]


def test_the_same_answer_again_has_none(hub, profile):
    for _ in range(3):
        hub.provision(profile.request("meter-1"))
    hub.provision(profile.request("meter-2"))
    line_like(hub, device="meter-2")
    assert [one["device"] for one in lines(hub) if one["result"] == "provisioned"] == ["meter-1", "meter-2"]


def test_refusals_have_the_reason(hub, profile):
    other = hub.create_profile("Q")
    hub.provision(profile.request("meter-1"))
    hub.provision(other.request("meter-1"))
    hub.provision({"deviceName": "x", "provisionDeviceKey": profile.key, "provisionDeviceSecret": canary("wrong")})
    hub.http("POST", "/api/v1/provision", b"{")
    assert line_like(hub, reason="NAME_TAKEN")["profile"] == "Q"
    unknown = line_like(hub, reason="NOT_FOUND")
    assert (unknown["result"], unknown["device"], "profile" in unknown) == ("refused", "x", False)
    assert line_like(hub, result="malformed")["peer"] == "127.0.0.1"


def test_what_administrators_change_has_their_uid(hub):
    profile = hub.create_profile("P")
    hub.add_device("valve", profile, state="provisioned")
    spare = hub.create_profile("spare")
    hub.admin("DELETE", f"/api/deviceProfile/{spare.id}")
    hub.admin("GET", "/api/deviceProfiles?pageSize=1&page=0")
    hub.admin("DELETE", f"/api/deviceProfile/{profile.id}")  # refused: it has a device
    line_like(hub, result="refused")
    who = {"face": "admin", "peer": f"uid {os.geteuid()}"}
    assert [without_time(one) for one in lines(hub)] == [
        {"seq": 1, **who, "profile": "P", "result": "created"},
        {"seq": 1, **who, "profile": "P", "device": "valve", "result": "created"},
        {"seq": 2, **who, "profile": "P", "device": "valve", "result": "changed"},
        {"seq": 2, **who, "profile": "spare", "result": "created"},
        {"seq": 3, **who, "profile": "spare", "result": "deleted"},
        {**who, "result": "refused", "reason": "BAD_REQUEST"},
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_what_administrators_are_refused_has_its_reason_and_no_secret(hubs):
    """Only what they changed had a line."""
    hub = hubs().start()
    profile, secret = hub.create_profile(), canary("refused")
    missing = "13814000-1dd2-11b2-8080-808080808080"
    body = {"name": "P", "type": "DEFAULT", "transportType": "DEFAULT", "provisionDeviceKey": secret}
    assert hub.admin("POST", "/api/deviceProfile", body).status == 400
    assert hub.admin("DELETE", f"/api/deviceProfile/{missing}").status == 404
    assert hub.admin("DELETE", f"/api/deviceProfile/{secret}").status == 400
    assert hub.admin("GET", f"/api/device/{missing}").status == 404  # only looked
    for reason, count in (("BAD_REQUEST", 2), ("NOT_FOUND", 1)):
        entry = line_like(hub, face="admin", reason=reason)
        assert without_time(entry) == {"face": "admin", "peer": f"uid {os.geteuid()}", "result": "refused", "reason": reason}
        assert sum(one.get("reason") == reason for one in lines(hub)) == count
    assert secret not in (hub.state / "audit.jsonl").read_text()


def test_who_is_no_administrator_is_named(hub):
    for path in (hub.directory, hub.socket):
        os.chmod(path, 0o777)
    ask = ["curl", "--silent", "--unix-socket", hub.socket, "http://hub/api/nearhub/status"]
    done = subprocess.run(["setpriv", "--reuid=65533", "--clear-groups", *ask], capture_output=True, text=True)
    assert "403" in done.stdout, done.stderr
    assert without_time(line_like(hub, reason="FORBIDDEN")) == {
        "face": "admin", "peer": "uid 65533", "result": "refused", "reason": "FORBIDDEN",
    }


def test_no_secret_gets_in(hub):
    profile = hub.create_profile(secret=canary("secret"))
    secrets = [profile.key, profile.secret]
    for number in range(4):
        token, password, wrong = canary("token"), canary("password"), canary("wrong")
        secrets += [token, password, wrong]
        hub.provision(profile.request(f"t{number}", credentialsType="ACCESS_TOKEN", token=token))
        hub.provision(profile.request(f"u{number}", credentialsType="ACCESS_TOKEN", token=token))  # taken
        hub.provision(profile.request(f"b{number}", credentialsType="MQTT_BASIC", username="u", password=password))
        hub.provision({"deviceName": "w", "provisionDeviceKey": wrong, "provisionDeviceSecret": wrong})
        hub.http("POST", "/api/v1/provision", b'{"provisionDeviceKey":"%s","x":' % wrong.encode())
        hub.http("POST", "/api/v1/provision", b'{"token":"%s"}' % token.encode())
        hub.http("POST", "/api/v1/provision", json.dumps(profile.request(credentialsType=wrong)).encode())
        secrets.append(hub.provision(profile.request(f"r{number}")).json["credentialsValue"])
    hub.stop()
    text = "".join(path.read_text() for path in hub.state.glob("audit.jsonl*"))
    assert "CREDENTIALS_TAKEN" in text and "malformed" in text
    assert [secret for secret in secrets if secret in text] == []


def test_a_long_name_is_cut_and_stays_one_line(hub, profile):
    name = "\n\u2028" + "x" * 60_000
    assert hub.provision(profile.request(name)).json["reason"] == "NAME_INVALID"
    entry = line_like(hub, reason="NAME_INVALID")
    assert entry["device"] == name[:255] + "…"


def test_a_flood_is_counted(hub, profile):
    connection = hub.connect()
    body = json.dumps({"deviceName": "x", "provisionDeviceKey": "unknown", "provisionDeviceSecret": "unknown"})
    began = time.monotonic()
    for _ in range(2000):
        connection.request("POST", "/api/v1/provision", body)
        connection.getresponse().read()
    seconds = time.monotonic() - began
    hub.create_profile("in the middle of it")
    hub.stop()
    found = [one for one in lines(hub) if one.get("reason") == "NOT_FOUND"]
    single = [one for one in found if "count" not in one]
    assert 50 <= len(single) <= 50 + 10 * (seconds + 2)
    assert len(single) + sum(one["count"] for one in found if "count" in one) == 2000
    assert without_time(found[-1]) | {"count": 0} == {
        "face": "http", "result": "refused", "reason": "NOT_FOUND", "count": 0,
    }
    assert [one for one in lines(hub) if one.get("profile") == "in the middle of it"]


def test_the_count_comes_without_another_request(hub):
    connection = hub.connect()
    for _ in range(100):
        connection.request("POST", "/api/v1/provision", "{}")
        connection.getresponse().read()
    eventually(lambda: any("count" in one for one in lines(hub)))


def test_files_are_rotated_by_size_and_five_are_kept(hubs):
    hub = hubs()
    for index in range(5):
        path = hub.state / ("audit.jsonl" + (f".{index}" if index else ""))
        path.touch(mode=0o600)
        path.write_text('{"at":"%d"}\n' % index)
    full = hub.state / "audit.jsonl"
    full.write_text('{"at":"0"}\n' + '{"at":"filler"}\n' * ((FILE_LIMIT - 11) // 16))
    hub.start()
    hub.create_profile()
    line_like(hub, result="created")
    assert len(lines(hub)) == 1
    assert [lines(hub, f".{index}")[0]["at"] for index in range(1, 5)] == ["0", "1", "2", "3"]
    assert not (hub.state / "audit.jsonl.5").exists()
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in hub.state.glob("audit*"))


def test_a_line_that_a_power_cut_interrupted_spoils_no_other(hubs):
    hub = hubs()
    path = hub.state / "audit.jsonl"
    path.touch(mode=0o644)
    path.write_text('{"at":"1"}\n{"at":"2')
    hub.start()
    hub.create_profile()
    eventually(lambda: path.read_text().count("\n") == 3)
    assert [json.loads(line).get("result") for line in path.read_text().splitlines()[2:]] == ["created"]
    assert path.stat().st_mode & 0o777 == 0o600
    shown = hub.cli("audit", "--state", hub.state)
    assert [line.split()[1] for line in shown.out.splitlines()[2:3]] == ["unreadable"]


def test_a_file_that_was_deleted_is_made_again(hub):
    hub.create_profile("P")
    line_like(hub, profile="P")
    (hub.state / "audit.jsonl").unlink()
    hub.create_profile("Q")
    line_like(hub, profile="Q")


def test_what_cannot_be_written_is_counted_and_holds_nobody_up(hubs):
    hub = hubs()
    (hub.state / "audit.jsonl").symlink_to("/dev/full")  # a link is never followed
    hub.start()
    profile = hub.create_profile()
    assert hub.provision(profile.request("meter-1")).json["status"] == "SUCCESS"
    assert "audit log takes no lines" in hub.stderr
    (hub.state / "audit.jsonl").unlink()
    dropped = eventually(lambda: lines(hub), seconds=20)
    assert without_time(dropped[0]) == {"result": "dropped", "count": 2}
    assert "audit log takes lines again; 2 were dropped" in hub.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_on_a_full_disk_no_half_line_stays(hubs):
    hub = hubs()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "audit", hub.state]).returncode != 0:
        pytest.skip("no mount here")
    try:
        hub.start()
        profile = hub.create_profile()
        hub.provision(profile.request("meter-1"))
        (hub.state / "filler").touch(mode=0o600)
        with open(hub.state / "filler", "wb", buffering=0) as filler:
            with pytest.raises(OSError):
                while True:
                    filler.write(bytes(4096))
        body = {"deviceName": "n" * 250, "provisionDeviceKey": "unknown", "provisionDeviceSecret": "unknown"}
        for _ in range(45):  # more than the block that is begun already
            assert hub.provision(body).json["status"] == "NOT_FOUND"
        eventually(lambda: "audit log takes no lines" in hub.stderr)
        before = lines(hub)  # each one is whole
        (hub.state / "filler").unlink()
        dropped = eventually(lambda: [one for one in lines(hub) if one["result"] == "dropped"], seconds=20)
        assert len(before) + dropped[0]["count"] == 47
        hub.stop()
    finally:
        if hub.process is not None:
            hub.kill9()
        subprocess.run(["umount", hub.state], check=True)


# The command


def test_the_command_shows_a_table(hub, profile):
    hub.provision(profile.request("meter-1\u202e"))
    line_like(hub, result="provisioned")
    shown = hub.cli("audit")
    assert shown.code == 0
    head, created, provisioned = shown.out.splitlines()
    assert head.split() == ["TIME", "FACE", "PEER", "RESULT", "REASON", "PROFILE", "DEVICE"]
    assert created.split()[1:] == ["admin", "uid", str(os.geteuid()), "created", "P"]
    assert provisioned.split()[1:] == ["http", "127.0.0.1", "provisioned", "P", "meter-1\\u{202E}"]
    assert hub.cli("audit", "--lines", "1").out.splitlines()[1].endswith("meter-1\\u{202E}")


def test_the_command_shows_lines_as_they_are_for_programs_over_all_files(hub):
    hub.create_profile("P")
    hub.stop()
    old = ['{"at":"%d"}' % number for number in range(30)]
    for index in range(1, 4):
        path = hub.state / f"audit.jsonl.{index}"
        path.touch(mode=0o600)
        path.write_text("".join(f"{line}\n" for line in old[30 - 10 * index : 40 - 10 * index]))
    everything = old + (hub.state / "audit.jsonl").read_text().splitlines()
    for count in (0, 1, 5, 25, 1000):
        shown = hub.cli("audit", "--json", "--lines", count, "--state", hub.state)
        assert shown.out.splitlines() == everything[len(everything) - min(count, 31) :]


def test_the_command_follows_across_files(hubs):
    hub = hubs()
    path = hub.state / "audit.jsonl"
    path.touch(mode=0o600)
    path.write_text('{"at":"filler"}\n' * ((FILE_LIMIT - 150) // 16))
    hub.start()
    follower = subprocess.Popen(
        [binary(), "audit", "--follow", "--json", "--lines", "1", "--state", hub.state],
        stdout=subprocess.PIPE, text=True, env=hub.environment,
    )
    try:
        assert json.loads(follower.stdout.readline()) == {"at": "filler"}
        for number in range(6):
            hub.create_profile(f"P{number}")
        assert [json.loads(follower.stdout.readline())["profile"] for _ in range(6)] == [f"P{n}" for n in range(6)]
        assert (hub.state / "audit.jsonl.1").exists()
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(5) in (-signal.SIGINT, 0)


def test_the_command_waits_for_a_log_that_is_not_there_yet(hubs):
    hub = hubs()
    follower = subprocess.Popen(
        [binary(), "audit", "--follow", "--json", "--state", hub.state],
        stdout=subprocess.PIPE, text=True, env=hub.environment,
    )
    try:
        hub.start().create_profile("P")
        assert json.loads(follower.stdout.readline())["profile"] == "P"
    finally:
        follower.kill()
        follower.wait()


def test_the_command_says_where_it_looked(hub):
    shown = hub.cli("audit", "--state", "/nowhere")
    assert shown.code == 74 and "/nowhere: No such file or directory; name the state directory with --state" in shown.err
    assert hub.cli("audit", "--lines", "-1").code == 64


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_the_command_is_for_root_and_the_hubs_user(hub):
    os.chmod(hub.directory, 0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65533", "--clear-groups", binary(), "audit", "--state", hub.state],
        capture_output=True, text=True, env=hub.environment,
    )
    assert done.returncode == 1 and "only root and the hub's own user may do this" in done.stderr
