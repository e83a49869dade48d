"""Faults that were found by trying to break the hub; each test's comment tells which."""

import base64
import json
import pathlib
import subprocess
import time

from harness import Hub, canary
from wire import Wire, post


def resident(hub) -> int:
    """Bytes of anonymous memory."""
    status = pathlib.Path(f"/proc/{hub.pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def test_bodies_that_never_end_cannot_fill_the_memory():
    """Each of 1,024 connections could hold 64 KiB; now all bodies together have 8 MiB, and one more byte is 503."""
    hub = Hub("http.max-connections-per-address=1024").start()
    try:
        profile = hub.create_profile()
        head = b"POST /api/v1/provision HTTP/1.1\r\nHost: hub\r\nContent-Length: 65000\r\n\r\n"
        wires = [Wire(hub) for _ in range(300)]
        for wire in wires:
            wire.send(head + b" " * 60_000)
        time.sleep(0.5)
        assert resident(hub) < 40 << 20
        answers = []
        for wire in wires:
            wire.send(b" " * 5_000)
            answers.append(wire.response().status)
            wire.socket.close()
        assert set(answers) == {400, 503}  # blanks are no request; those over the bound were not read
        assert hub.provision(profile.request("boiler")).json["status"] == "SUCCESS"
    finally:
        hub.close()


def test_credentials_that_an_operator_entered_prove_a_device(hub):
    """They were compared as typed, so that a part left out or another order was no proof."""
    profile = hub.create_profile("Q", strategy="CHECK_PRE_PROVISIONED_DEVICES", repeatWindow=1)
    user, password = canary("user"), canary("password")
    entered = {"credentialsType": "MQTT_BASIC", "credentialsValue": {"password": password, "userName": user}}
    hub.add_device("pump", profile, entered)
    first = hub.provision(profile.request("pump"))
    assert first.json["credentialsValue"] == {"clientId": "", "userName": user, "password": password}
    time.sleep(2.2)
    assert hub.provision(profile.request("pump")).json["reason"] == "ALREADY_PROVISIONED"
    again = hub.provision(profile.request("pump", credentialsType="MQTT_BASIC", username=user, password=password))
    assert again.json == first.json


def test_a_private_key_is_refused_without_its_header_too(hub, profile, tmp_path):
    """Only the words PRIVATE KEY were looked for."""
    subprocess.run(["openssl", "genrsa", "-out", tmp_path / "key.pem", "2048"], check=True, capture_output=True)
    der = subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", tmp_path / "key.pem", "-outform", "DER"],
        check=True,
        capture_output=True,
    ).stdout
    text = base64.b64encode(der).decode()
    answer = hub.provision(profile.request("boiler", credentialsType="X509_CERTIFICATE", hash=text))
    assert answer.json["reason"] == "CREDENTIALS_INVALID"
    assert text[:40] not in (hub.state / "devices.jsonl").read_text()


def test_names_reach_the_log_without_what_moves_a_terminal(hub, profile):
    """C1 controls and bidirectional overrides went out as they came."""
    hub.provision(profile.request("a\u009b31m\u202eb\u2028c"))
    hub.provision({"deviceName": "x\u009dy", "provisionDeviceKey": "no", "provisionDeviceSecret": "no"})
    assert not {"\u009b", "\u202e", "\u2028", "\u009d"} & set(hub.stderr)
    assert "a\\u{009B}31m\\u{202E}b\\u{2028}c" in hub.stderr


def test_a_device_cannot_be_registered_under_a_name_nobody_can_ask_for(hub, profile):
    """Names in requests are trimmed before they are looked up."""
    for name in (" boiler", "boiler\t", " ", "\x01"):
        body = {"name": name, "type": profile.name}
        assert hub.admin("POST", "/api/device", body).status == 400
    assert hub.status()["devices"] == 0


def test_a_stop_leaves_the_socket_of_another_hub(hub, profile):
    """It was unlinked by its path, whoever's it was."""
    path = pathlib.Path(hub.status()["admin"]["socket"])
    path.unlink()
    other = Hub(f"admin.socket={path}")
    other.socket = path
    other.start()
    try:
        hub.stop()
        assert other.status()["pid"] == other.pid
    finally:
        other.close()


def test_a_long_list_comes_in_slices(hub, profile):
    """One call kept the loop for 10 ms; now it ends after 2 ms and says where to go on."""
    for number in range(120):
        hub.provision(profile.request(f"meter-{number}"))
    names, cursor = [], 0
    while cursor is not None:
        page = hub.ask("GET", f"/api/nearhub/devices?after={cursor}&limit=50")
        assert len(page["devices"]) <= 50
        names += [device["name"] for device in page["devices"]]
        cursor = page["next"]
    assert names == [f"meter-{number}" for number in range(120)]
    assert len(hub.ask("GET", "/api/nearhub/devices?after=5&limit=5")["devices"]) == 5
    assert hub.ask("GET", "/api/nearhub/devices?after=500&limit=5") == {"devices": [], "next": None}


def test_an_attribute_nested_too_deep_is_a_bad_request(hub, profile):
    """It was answered 507, as if the disk were full."""
    device = hub.add_device("boiler", profile)
    deep = json.loads("[" * 15 + "]" * 15)
    path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/attributes/SERVER_SCOPE"
    assert hub.admin("POST", path, {"deep": deep}).status == 400
    with Wire(hub) as wire:
        wire.send(post(json.dumps(profile.request("next")).encode()))
        assert wire.response().status == 200
