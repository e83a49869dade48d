"""A log of which most has been replaced is written anew while the hub serves, and nobody notices."""

import threading

import journal
from harness import eventually

DEVICES = 40
NOTE = "n" * 4000


def generation(hub):
    with open(hub.state / "devices.jsonl", "rb") as file:
        return journal.parse(file.readline())["gen"]


def test_the_log_shrinks_while_devices_are_provisioned_and_changed(hub, profile):
    promised, errors, done = {}, [], threading.Event()
    devices = {f"d{number}": hub.add_device(f"d{number}", profile)["id"]["id"] for number in range(DEVICES)}

    def provision():
        number = 0
        while not done.is_set():
            name, number = f"p{number}", number + 1
            answer = hub.provision(profile.request(name)).json
            if answer["status"] != "SUCCESS":
                errors.append(answer)
            promised[name] = answer.get("credentialsValue")
            done.wait(0.02)

    thread = threading.Thread(target=provision)
    thread.start()
    try:
        for number in range(1200):
            name = f"d{number % DEVICES}"
            path = f"/api/plugins/telemetry/DEVICE/{devices[name]}/attributes/SERVER_SCOPE"
            hub.ask("POST", path, {"note": NOTE, "number": number})
            if number > 400 and generation(hub) > 1:
                break
        eventually(lambda: generation(hub) > 1)
    finally:
        done.set()
        thread.join()
    assert not errors
    assert "written anew" in hub.stderr
    assert not list(hub.state.glob("*.new"))
    for _ in range(2):
        assert {device["name"] for device in hub.devices()} == devices.keys() | promised.keys()
        for name, token in list(promised.items())[-50:]:
            assert hub.provision(profile.request(name)).json["credentialsValue"] == token
        assert hub.attributes(f"d{number % DEVICES}")["number"] == number
        hub.kill9()
        hub.start()
    assert hub.cli("log", "verify", "--state", hub.state).code == 0
