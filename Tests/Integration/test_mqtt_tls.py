"""TLS between the hub and the broker at which devices ask: verified, and never plain text instead."""

import json
import re
import subprocess
import time

import pytest

from harness import eventually


@pytest.fixture
def tls_broker(brokers, certificates):
    """Makes an open broker with TLS; its certificate is one of certificates.py."""

    def make(name):
        lines = [f"certfile {certificates.file(name + '.pem')}", f"keyfile {certificates.file(name + '.key')}"]
        return brokers(lines, plugin=False, anonymous=True).start()

    return make


def ask(broker, certificates, request) -> dict:
    """One provision request by mosquitto_rr(1)."""
    done = subprocess.run(
        ["mosquitto_rr", "-h", "localhost", "-p", str(broker.port), "--cafile", certificates.file("ca.pem"), "-q", "1",
         "-t", "/provision/request/d", "-e", "/provision/response/d", "-m", json.dumps(request), "-W", "10"],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_devices_are_answered_through_a_broker_with_tls(hubs, tls_broker, certificates, version):
    broker = tls_broker("localhost")
    url = f"mqtt.url=mqtts://localhost:{broker.port}"
    hub = hubs(url, f"mqtt.ca-file={certificates.file('ca.pem')}", f"mqtt.version={version}").start().connected()
    answer = ask(broker, certificates, hub.create_profile().request("boiler"))
    hub.guard(answer["credentialsValue"])
    assert answer["status"] == "SUCCESS"
    assert hub.credentials("boiler")["credentialsId"] == answer["credentialsValue"]
    assert hub.status()["mqtt"]["url"] == f"mqtts://localhost:{broker.port}"


@pytest.mark.parametrize("name, host, reason", [
    ("other", "localhost", "hostname mismatch"), ("expired", "localhost", "certificate has expired"),
    ("stranger", "localhost", "unable to get local issuer certificate"), ("localhost", "127.0.0.1", "IP address mismatch"),
])  # fmt: skip
def test_a_broker_that_cannot_prove_who_it_is_gets_nothing(hubs, tls_broker, certificates, name, host, reason):
    broker = tls_broker(name)
    time.sleep(1.1 if name == "expired" else 0)
    hub = hubs(f"mqtt.url=mqtts://{host}:{broker.port}", f"mqtt.ca-file={certificates.file('ca.pem')}").start()
    said = eventually(lambda: hub.status()["mqtt"]["reason"])
    assert reason in said, said
    assert hub.status()["mqtt"]["state"] == "waiting"
    assert hub.provision(hub.create_profile().request("boiler")).json["status"] == "SUCCESS"
    assert not re.search("New client connected", broker.log)


@pytest.mark.parametrize("content", [None, "", "no certificate\n"], ids=["missing", "empty", "garbage"])
def test_without_usable_certificates_the_hub_does_not_start(hubs, content):
    hub = hubs()
    path = hub.file("ca", content) if content is not None else "/no/such/ca.pem"
    hub.settings = ["mqtt.url=mqtts://localhost:1", f"mqtt.ca-file={path}"]
    refused = hub.refused()
    assert refused.code == 78 and "[mqtt] ca-file" in refused.err and str(path) in refused.err


def test_a_ca_file_without_tls_is_a_mistake(hubs):
    hub = hubs("mqtt.url=mqtt://localhost:1", "mqtt.ca-file=/etc/ca.pem")
    refused = hub.refused()
    assert refused.code == 78 and "write mqtts://" in refused.err


def test_nearhub_provision_by_tls(hubs, tls_broker, certificates):
    broker = tls_broker("localhost")
    url, ca = f"mqtts://localhost:{broker.port}", certificates.file("ca.pem")
    hub = hubs(f"mqtt.url={url}", f"mqtt.ca-file={ca}").start().connected()
    profile = hub.create_profile()
    device = ["--mqtt-topic-suffix", "d", "--name", "boiler", "--key-file", hub.file("key", profile.key),
              "--secret-file", hub.file("secret", profile.secret), "--json"]  # fmt: skip
    done = hub.cli("provision", "--mqtt", url, "--ca-file", ca, *device)
    assert done.code == 0, done
    hub.guard(json.loads(done.out)["credentialsValue"])
    for where, options in ((url, []), (url.replace("localhost", "127.0.0.1"), ["--ca-file", ca])):
        refused = hub.cli("provision", "--mqtt", where, *options, *device)
        assert refused.code == 75 and "TLS: " in refused.err and "--ca-file" in refused.err
    for options in (["--mqtt", f"mqtt://localhost:{broker.port}"], ["--http", hub.url]):
        assert hub.cli("provision", *options, "--ca-file", ca, *device).code == 64
