"""Real clients of the MQTT face, unmodified: through Nearhub's plugin on ThingsBoard's topics, through a plain broker
on topics of their own or with a Response Topic."""

import asyncio
import json
import subprocess

import gmqtt
import pytest

from devices import MQTTDevice
from environments import NEW, OLD, THINGSBOARD, answer, python, run
from harness import canary


@pytest.fixture
def plugin_broker(brokers):
    return brokers().start()


@pytest.fixture
def plain_broker(brokers):
    return brokers(plugin=False, anonymous=True).start()


@pytest.fixture
def hub(hubs, plugin_broker):
    """A hub behind the broker with the plugin."""
    return hubs(*plugin_broker.hub_settings).start().connected()


@pytest.fixture
def plain_hub(hubs, plain_broker):
    """A hub behind the plain broker, whose Response Topics are declared private."""
    return hubs(f"mqtt.url={plain_broker.url}", "mqtt.response-topics=yes").start().connected()


def has_credentials_of(hub, given, name):
    """Whether an answer holds a device's credentials."""
    return given["status"] == "SUCCESS" and given["credentialsValue"] == hub.credentials(name)["credentialsId"]


# The manual's script, which publishes before it subscribes; paho-mqtt


@pytest.mark.parametrize("environment", [OLD, NEW], ids=["paho-1.6", "paho-2"])
def test_the_user_manuals_mqtt_script(hub, profile, plugin_broker, environment):
    token = canary("token")
    hub.guard(token)
    request = profile.request("DEVICE_NAME", credentialsType="ACCESS_TOKEN", token=token)
    given = answer(hub, python(environment, "manual_mqtt.py", plugin_broker.port, stdin=request))
    assert given["credentialsValue"] == token and given["provisionDeviceStatus"] == "SUCCESS"
    assert has_credentials_of(hub, given, "DEVICE_NAME")


@pytest.mark.parametrize("environment", [OLD, NEW], ids=["paho-1.6", "paho-2"])
def test_the_user_manuals_script_sees_a_refusal(hub, profile, plugin_broker, environment):
    hub.add_device("boiler", profile)
    given = answer(hub, python(environment, "manual_mqtt.py", plugin_broker.port, stdin=profile.request("boiler")))
    assert (given["status"], given["reason"]) == ("FAILURE", "NAME_TAKEN")


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_paho_1_6_on_a_topic_of_its_own(plain_hub, plain_broker, version):
    profile = plain_hub.create_profile()
    request = profile.request("boiler")
    done = python(OLD, "paho1_own_topic.py", plain_broker.port, version, "paho1", stdin=request)
    assert has_credentials_of(plain_hub, answer(plain_hub, done), "boiler")


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_paho_2_on_thingsboards_topics(hub, profile, plugin_broker, version):
    device = MQTTDevice(plugin_broker, hub, version=version, username="provision")
    try:
        device.subscribe("/provision/response")
        device.publish("/provision/request", profile.request("boiler"), 1)
        assert has_credentials_of(hub, device.message("/provision/response").json, "boiler")
    finally:
        device.close()


def test_devices_at_the_same_time_get_their_own(hub, profile, plugin_broker):
    devices = [MQTTDevice(plugin_broker, hub, username="provision") for _ in range(20)]
    try:
        for number, device in enumerate(devices):
            device.subscribe("/provision/response")
            device.client.publish("/provision/request", json.dumps(profile.request(f"d{number}")), 1)
        for number, device in enumerate(devices):
            assert has_credentials_of(hub, device.message().json, f"d{number}")
        assert all(len(device.messages) == 1 for device in devices)
    finally:
        for device in devices:
            device.close()


# Mosquitto's own programs; mosquitto_rr 2.0.11 sends nothing of what -s and -f name, so it is given -m


def test_mosquitto_sub_and_pub_on_a_topic_of_their_own(plain_hub, plain_broker):
    profile = plain_hub.create_profile()
    where = ["-h", "127.0.0.1", "-p", str(plain_broker.port)]
    with subprocess.Popen(
        ["stdbuf", "-oL", "mosquitto_sub", *where, "-d", "-C", "1", "-W", "20", "-t", "/provision/response/boiler"],
        stdout=subprocess.PIPE, text=True,
    ) as listener:  # fmt: skip
        assert any(line.startswith("Subscribed") for line in iter(listener.stdout.readline, ""))
        sent = run("mosquitto_pub", *where, "-t", "/provision/request/boiler", "-s", stdin=profile.request("boiler"))
        assert sent.returncode == 0, sent.stderr
        lines = listener.stdout.read().splitlines()
    given = json.loads(next(line for line in lines if line.startswith("{")))
    plain_hub.guard(given["credentialsValue"])
    assert has_credentials_of(plain_hub, given, "boiler")


def test_mosquitto_rr_with_a_response_topic_on_a_plain_broker(plain_hub, plain_broker):
    profile = plain_hub.create_profile()
    done = run(
        "mosquitto_rr", "-V", 5, "-p", plain_broker.port, "-W", 20, "-t", "/provision/request", "-e", "dev/1/answer",
        "-m", json.dumps(profile.request("boiler")),
    )  # fmt: skip
    assert has_credentials_of(plain_hub, answer(plain_hub, done), "boiler")


def test_mosquitto_rr_on_thingsboards_topics(hub, profile, plugin_broker):
    done = run(
        "mosquitto_rr", "-u", "provision", "-p", plugin_broker.port, "-W", 20, "-t", "/provision/request",
        "-e", "/provision/response", "-m", json.dumps(profile.request("boiler")),
    )  # fmt: skip
    assert has_credentials_of(hub, answer(hub, done), "boiler")


# gmqtt


async def ask_by_gmqtt(port, version, request, username=None, level=""):
    client, got = gmqtt.Client("gmqtt-device"), asyncio.get_running_loop().create_future()
    if username:
        client.set_auth_credentials(username, "")
    client.on_message = lambda _, topic, payload, qos, properties: got.done() or got.set_result(payload)
    subscribed = asyncio.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    await client.connect("127.0.0.1", port, version=version)
    client.subscribe("/provision/response" + level, qos=1)
    await asyncio.wait_for(subscribed.wait(), 10)
    client.publish("/provision/request" + level, json.dumps(request), qos=1)
    payload = await asyncio.wait_for(got, 20)
    await client.disconnect()
    return json.loads(payload)


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_gmqtt(hub, profile, plugin_broker, version):
    given = asyncio.run(ask_by_gmqtt(plugin_broker.port, version, profile.request("boiler"), "provision"))
    hub.guard(given["credentialsValue"])
    assert has_credentials_of(hub, given, "boiler")


def test_gmqtt_on_a_topic_of_its_own(plain_hub, plain_broker):
    profile = plain_hub.create_profile()
    given = asyncio.run(ask_by_gmqtt(plain_broker.port, 5, profile.request("boiler"), level="/gmqtt"))
    plain_hub.guard(given["credentialsValue"])
    assert has_credentials_of(plain_hub, given, "boiler")


# ThingsBoard's own


@pytest.mark.parametrize("members", [
    {}, {"access_token": "tokenOfMyOwn"}, {"client_id": "client-1"}, {"hash": "MIIBAAAA"},
    {"client_id": "ccccccccccccccc", "username": "uuuuuuuuuuuuuuu", "password": "ppppppppppppppp"},
], ids=["nothing", "token", "client-id", "certificate", "basic"])  # fmt: skip
def test_thingsboards_device_sdk(hub, profile, plugin_broker, members):
    request = {"provision_device_key": profile.key, "provision_device_secret": profile.secret, "device_name": "boiler"}
    given = answer(hub, python(THINGSBOARD, "sdk_mqtt.py", plugin_broker.port, stdin=request | members))
    assert given["status"] == "SUCCESS"
    value = given["credentialsValue"]
    if "username" in members:
        assert value == {"clientId": "ccccccccccccccc", "userName": "uuuuuuuuuuuuuuu", "password": "ppppppppppppppp"}
    elif "client_id" in members:
        assert value == {"clientId": "client-1", "userName": "", "password": ""}
    else:
        brought = members.get("access_token") or members.get("hash") or hub.credentials("boiler")["credentialsId"]
        assert value == brought


@pytest.mark.parametrize("kind", ["ACCESS_TOKEN", "MQTT_BASIC", "X509_CERTIFICATE"])
def test_thingsboards_gateway(hub, plugin_broker, tmp_path, kind):
    profile = hub.create_profile("gateways", allowGateway=True)
    provisioning = {"type": kind, "deviceName": "box", "provisionDeviceKey": profile.key}
    provisioning["provisionDeviceSecret"] = profile.secret
    if kind == "X509_CERTIFICATE":
        provisioning["caCert"] = "cert.pem"  # the certificate it makes itself, in the same directory
    kept = answer(hub, python(THINGSBOARD, "gateway.py", plugin_broker.port, tmp_path, stdin=provisioning))
    assert kept["status"] == "SUCCESS" and kept["credentialsType"] == kind
    assert hub.device("box")["additionalInfo"] == {"gateway": True}
    stored = hub.credentials("box")
    assert stored["credentialsType"] == kind
    if kind == "MQTT_BASIC":
        assert json.loads(stored["credentialsValue"]) == kept["credentialsValue"]
    elif kind == "X509_CERTIFICATE":
        lines = (tmp_path / "cert.pem").read_text().splitlines()
        assert kept["credentialsValue"] == "".join(lines[1:-1]) == stored["credentialsValue"]


# nearhub provision --mqtt


@pytest.fixture
def device_side(hub, profile, plugin_broker):
    """Runs `nearhub provision` with the profile's key and secret in files."""
    key, secret = hub.file("key", profile.key + "\n"), hub.file("secret", profile.secret)

    def provision(*arguments, url=plugin_broker.url):
        done = hub.cli("provision", "--mqtt", url, "--key-file", key, "--secret-file", secret, *arguments)
        hub.guard_answer(done.out.encode())
        return done

    return provision


def test_nearhub_provision_over_mqtt(hub, device_side):
    done = device_side("--name", "boiler", "--json")
    assert done.code == 0, done
    assert has_credentials_of(hub, done.json, "boiler")


def test_nearhub_provision_over_mqtt_on_a_plain_broker(plain_hub, plain_broker):
    profile = plain_hub.create_profile()
    key, secret = plain_hub.file("key", profile.key), plain_hub.file("secret", profile.secret)
    done = plain_hub.cli(
        "provision", "--mqtt", plain_broker.url, "--mqtt-topic-suffix", "boiler-7", "--name", "boiler",
        "--key-file", key, "--secret-file", secret, "--json",
    )  # fmt: skip
    plain_hub.guard_answer(done.out.encode())
    assert done.code == 0 and has_credentials_of(plain_hub, done.json, "boiler"), done


def test_nearhub_provision_over_mqtt_fails_with_1_when_refused(hub, profile, device_side):
    hub.add_device("boiler", profile)
    taken = device_side("--name", "boiler", "--json")
    assert (taken.code, taken.json["reason"]) == (1, "NAME_TAKEN")


def test_nearhub_provision_over_mqtt_fails_with_75_when_nobody_listens(hub, device_side):
    done = device_side("--name", "boiler", url="mqtt://127.0.0.1:1")
    assert done.code == 75
    assert done.err.startswith("nearhub: ") and done.err.count("\n") == 1


@pytest.mark.parametrize("url", ["127.0.0.1:1883", "mqtt://", "mqtt://127.0.0.1:99999", "http://x"])
def test_nearhub_provision_over_mqtt_refuses_a_url_it_cannot_use(hub, device_side, url):
    assert device_side("--name", "boiler", url=url).code == 64
