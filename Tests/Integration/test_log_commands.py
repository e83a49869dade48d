"""`nearhub log verify` and `nearhub log repair`: damage is named, and what is whole serves again."""

import re

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
