"""The test double of ThingsBoard's MQTT transport, checked by clients that we did not write."""

import json
import ssl
import subprocess

import pytest

from devices import MQTTDevice
from environments import THINGSBOARD, python, run
from harness import canary, eventually
from tenant import CHECK, Tenant, sha3
from thingsboard import REQUEST, RESPONSE, Behaviour

SUCCESS = {"credentialsType": "ACCESS_TOKEN", "status": "SUCCESS"}


@pytest.fixture
def server(thingsboards):
    return thingsboards().start()


def body(profile, name, **members) -> dict:
    return {"deviceName": name, "provisionDeviceKey": profile.key, "provisionDeviceSecret": profile.secret} | members


@pytest.fixture
def meters(server):
    return server.tenant.add_profile("meters", canary("key"), canary("secret"))


def sdk(server, profile, name, **members) -> dict | None:
    """What ThingsBoard's own SDK gets; it waits for one message on the topic."""
    request = {"provision_device_key": profile.key, "provision_device_secret": profile.secret, "device_name": name}
    done = python(THINGSBOARD, "sdk_mqtt.py", server.port, stdin=request | members)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("suback", [True, False], ids=["3.9", "3.8"])
@pytest.mark.parametrize("members", [
    {}, {"access_token": "tokenOfMyOwn"}, {"hash": "MIIBAAAA"},
    {"client_id": "ccccccccccccccc", "username": "uuuuuuuuuuuuuuu", "password": "ppppppppppppppp"},
], ids=["nothing", "token", "certificate", "basic"])  # fmt: skip
def test_thingsboards_sdk_provisions(thingsboards, suback, members):
    server = thingsboards(suback=suback).start()
    meters = server.tenant.add_profile("meters", canary("key"), canary("secret"))
    given = sdk(server, meters, "boiler", **members)
    device = server.tenant.devices["boiler"]
    assert given == {"credentialsValue": device.value, "credentialsType": device.type, "status": "SUCCESS"}
    if "access_token" in members:
        assert device.id == "tokenOfMyOwn"
    elif "hash" in members:
        assert device.id == sha3("MIIBAAAA")
    elif "client_id" in members:
        assert device.id == sha3("ccccccccccccccc", "uuuuuuuuuuuuuuu")
    assert server.most_open == 1 and len(server.provisioning) == 1


def test_thingsboards_sdk_is_refused(server, meters):
    assert sdk(server, meters, "boiler")["status"] == "SUCCESS"
    assert sdk(server, meters, "boiler") is None  # it logs the reason
    assert [one.answer["status"] for one in server.requests] == ["SUCCESS", "FAILURE"]
    meters.secret = canary("another")
    assert sdk(server, meters, "valve")["status"] == "SUCCESS"
    assert list(server.tenant.devices) == ["boiler", "valve"]


def test_mosquittos_programs_provision_and_log_in(server, meters):
    where = ["-h", "127.0.0.1", "-p", str(server.port)]
    with subprocess.Popen(
        ["stdbuf", "-oL", "mosquitto_sub", *where, "-u", "provision", "-d", "-C", "1", "-W", "20", "-t", RESPONSE],
        stdout=subprocess.PIPE, text=True,
    ) as listener:  # fmt: skip
        assert any(line.startswith("Subscribed") for line in iter(listener.stdout.readline, ""))
        # Its answer goes to its own connection, and not to the listener.
        sent = run("mosquitto_pub", *where, "-u", "provision", "-t", REQUEST, "-q", "1", "-s",
                   stdin=body(meters, "boiler"))  # fmt: skip
        assert sent.returncode == 0, sent.stderr
        listener.terminate()
        assert not [line for line in listener.stdout.read().splitlines() if line.startswith("{")]
    asked = run("mosquitto_rr", *where, "-u", "provision", "-W", "20", "-t", REQUEST, "-e", RESPONSE, "-m",
                json.dumps(body(meters, "valve", token="tokenOfTheValve")))  # fmt: skip
    assert json.loads(asked.stdout) == {"credentialsValue": "tokenOfTheValve", **SUCCESS}
    for version in ("mqttv311", "mqttv5"):
        telemetry = [*where, "-V", version, "-t", "v1/devices/me/attributes", "-m", '{"a":1}', "-q", "1"]
        assert run("mosquitto_pub", *telemetry, "-u", "tokenOfTheValve").returncode == 0
        assert run("mosquitto_pub", *telemetry, "-u", "tokenOfNobody").returncode != 0
    assert server.tenant.devices["valve"].attributes == {"a": 1}


@pytest.mark.parametrize("version, code", [(4, 5), (5, 0x86)])
def test_a_wrong_login_is_refused_with_the_code_of_its_version(server, meters, version, code):
    server.tenant.provision(json.dumps(body(
        meters, "boiler", credentialsType="MQTT_BASIC", clientId="c", username="u", password="p",
    )).encode())  # fmt: skip
    MQTTDevice(server, client_id="c", version=version, username="u", password="p").close()
    for client_id, username, password in (("c", "u", "wrong"), ("d", "u", "p"), ("c", "w", "p")):
        with pytest.raises(ConnectionRefusedError) as refusal:
            MQTTDevice(server, client_id=client_id, version=version, username=username, password=password)
        # paho translates the codes of MQTT 3.1.1 into those of 5.
        assert str(0x87 if code == 5 else code) in str(refusal.value)
    assert len(server.refused) == 3


def test_a_session_is_closed_a_while_after_its_answer(thingsboards):
    server = thingsboards(lifetime=0.3).start()
    meters = server.tenant.add_profile("meters", canary("key"), canary("secret"))
    device = MQTTDevice(server, username="provision")
    device.publish(REQUEST, body(meters, "boiler"), 1)
    assert device.message(RESPONSE).json["status"] == "SUCCESS"
    [session] = server.sessions
    eventually(lambda: session.closed)
    assert session.ended_by == "server" and 0.25 < session.closed - session.requests[0].answered[0] < 2
    device.close()


def answers(server, *requests) -> list[bytes]:
    """All that one session gets for requests that are sent at once."""
    device = MQTTDevice(server, username="provision")
    device.subscribe(RESPONSE)
    for request in requests:
        device.client.publish(REQUEST, json.dumps(request), 1)
    eventually(lambda: len(server.requests) == len(requests))
    eventually(lambda: all(one.answered or one.session.closed for one in server.requests))
    device.subscribe(RESPONSE)  # a round trip, so that all that was sent is here
    device.close()
    return [one.payload for one in device.messages]


def test_it_answers_twice_out_of_order_late_and_garbage(server, meters):
    server.next(Behaviour(copies=2, swap=True), Behaviour(), Behaviour(payload=b"\xff{"), Behaviour(delay=0.2))
    a, b, garbage, late = answers(server, *(body(meters, name, token="token-" + name) for name in "abcd"))[1:]
    assert [json.loads(one)["credentialsValue"] for one in (a, b, late)] == ["token-a", "token-a", "token-d"]
    assert garbage == b"\xff{"
    assert server.most_open >= 2  # what may not be, as a test of the hub must see
    assert sorted(server.tenant.devices) == ["a", "b", "c", "d"]


def test_it_refuses_as_it_is_told(server, meters):
    server.next(Behaviour(status="FAILURE"), Behaviour(status="NOT_FOUND"), Behaviour(copies=2))
    got = [json.loads(one)["status"] for one in answers(server, *(body(meters, name) for name in "abc"))]
    assert got == ["FAILURE", "NOT_FOUND", "SUCCESS", "SUCCESS"]
    assert list(server.tenant.devices) == ["c"]


def test_a_pre_provisioned_device_keeps_the_credentials_it_had(thingsboards):
    for repeats, second in ((True, "SUCCESS"), (False, "FAILURE")):
        server = thingsboards(tenant=Tenant(repeats=repeats)).start()
        profile = server.tenant.add_profile("valves", canary("key"), canary("secret"), CHECK)
        server.tenant.add_device("valve", "valves", token="the-one-it-had")
        got = [json.loads(one) for one in answers(server, *[body(profile, "valve", token="another")] * 2)]
        assert got[0]["credentialsValue"] == "the-one-it-had" and got[1]["status"] == second


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"deviceName":"a"}', b'{"credentialsType":"X"}'])
def test_it_closes_the_connection_on_what_it_cannot_read(thingsboards, payload):
    server = thingsboards(forgives=True).start()
    device = MQTTDevice(server, username="provision")
    device.client.publish(REQUEST, payload, 1)
    eventually(lambda: server.problems and server.sessions[0].closed)
    assert server.sessions[0].ended_by == "server" and not device.messages
    device.close()


def test_a_gateway_announces_devices_and_others_may_not(server):
    server.tenant.add_device("box", token="token-of-the-box", gateway=True)
    server.tenant.add_device("plain", token="token-of-no-box")
    where = ["mosquitto_pub", "-p", server.port, "-q", 1]
    for topic, message in (
        ("v1/gateway/connect", {"device": "boiler", "type": "meters"}),
        ("v1/gateway/attributes", {"boiler": {"serial": 7}}),
    ):
        assert run(*where, "-u", "token-of-the-box", "-t", topic, "-m", json.dumps(message)).returncode == 0
    boiler = server.tenant.devices["boiler"]
    assert (boiler.profile, boiler.attributes) == ("meters", {"serial": 7})
    run("timeout", 1, *where, "-u", "token-of-no-box", "-t", "v1/gateway/connect", "-m", '{"device":"valve"}')
    assert "valve" not in server.tenant.devices


def test_it_speaks_tls(thingsboards, certificates):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.file("localhost.pem"), certificates.file("localhost.key"))
    server = thingsboards(tls=context).start()
    server.tenant.add_device("plain", token="token-of-a-device")
    sent = ["-t", "v1/devices/me/attributes", "-m", '{"a":1}', "-q", 1, "-u", "token-of-a-device", "-p", server.port]
    trust = ["--cafile", certificates.file("ca.pem")]
    assert run("mosquitto_pub", "-h", "localhost", *trust, *sent).returncode == 0
    assert run("mosquitto_pub", "-h", "127.0.0.1", *trust, *sent).returncode != 0
