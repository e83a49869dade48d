"""TLS to the upstream: who it is gets verified, and nothing is ever sent in plain text instead."""

import re
import ssl
import time

import pytest

from fake_broker import FakeBroker
from harness import eventually
from upstream import away, provision_many, settings, settled, shown, works


@pytest.fixture
def tls_broker(brokers, certificates):
    """Makes a broker with a listener for TLS; its certificate is one of certificates.py."""

    def make(name, *lines):
        broker = brokers(
            [f"certfile {certificates.file(name + '.pem')}", f"keyfile {certificates.file(name + '.key')}", *lines],
            plugin=False, anonymous=True,
        )  # fmt: skip
        return broker.start()

    return make


def secure(broker, host="localhost") -> str:
    return f"mqtts://{host}:{broker.port}"


def test_tls_with_a_certificate_that_is_right(hubs, tls_broker, certificates):
    broker = tls_broker("localhost")
    hub = hubs(*settings("journal", secure(broker), ca_file=certificates.file("ca.pem"))).start()
    works(hub, hub.create_profile())
    assert settled(hub, confirmed=1)["state"] == "connected"


@pytest.mark.parametrize("name, host", [
    ("other", "localhost"), ("expired", "localhost"), ("stranger", "localhost"), ("localhost", "127.0.0.1"),
])  # fmt: skip
@pytest.mark.parametrize("dialect", ["journal", "thingsboard"])
def test_tls_with_a_certificate_that_is_wrong(hubs, tls_broker, certificates, name, host, dialect):
    broker = tls_broker(name)
    time.sleep(1.1 if name == "expired" else 0)
    hub = hubs(*settings(dialect, secure(broker, host), ca_file=certificates.file("ca.pem"))).start()
    profile = hub.create_profile()
    now = away(hub)
    assert re.search("tls|certificate", now["reason"], re.I), now
    works(hub, profile)
    time.sleep(1)
    assert shown(hub)["confirmed"] == 0 and not re.search("New client connected", broker.log)


def test_tls_with_the_systems_authorities_does_not_trust_ours(hubs, tls_broker):
    broker = tls_broker("localhost")
    hub = hubs(*settings("journal", secure(broker))).start()
    assert re.search("tls|certificate", away(hub)["reason"], re.I)


def test_tls_below_1_2_is_refused(hubs, thingsboards, certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.file("localhost.pem"), certificates.file("localhost.key"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = thingsboards(tls=context, forgives=True).start()
    url = server.url.replace("127.0.0.1", "localhost")
    hub = hubs(*settings("thingsboard", url, ca_file=certificates.file("ca.pem"))).start()
    works(hub, hub.create_profile())
    away(hub)
    assert not server.sessions


def test_tls_to_thingsboard(hubs, thingsboards, certificates):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.file("localhost.pem"), certificates.file("localhost.key"))
    server = thingsboards(tls=context).start()
    url = server.url.replace("127.0.0.1", "localhost")
    hub = hubs(*settings("thingsboard", url, ca_file=certificates.file("ca.pem"), rate="unlimited")).start()
    profile = hub.create_profile("meters")
    server.tenant.add_profile("meters", profile.key, profile.secret)
    provision_many(hub, profile, 50)
    settled(hub, confirmed=50)


def test_a_server_without_tls_never_sees_the_password(hubs, certificates):
    """mqtts:// to a port that speaks plain MQTT: nothing but a TLS greeting may arrive there."""
    got = []

    def keep(connection):
        connection.settimeout(1)
        try:
            while data := connection.recv(65536):
                got.append(data)
        except TimeoutError:
            pass

    with FakeBroker(keep) as fake:
        hub = hubs()
        password = hub.file("password", "passwordOfTheHub")
        hub.guard("passwordOfTheHub")
        url = fake.url.replace("mqtt://127.0.0.1", "mqtts://localhost")
        files = {"password_file": password, "ca_file": certificates.file("ca.pem")}
        hub.settings = settings("journal", url, username="hub-user", **files)
        hub.start()
        eventually(lambda: got, 20)
        away(hub)
    sent = b"".join(got)
    assert sent[0] == 0x16 and b"passwordOfTheHub" not in sent and b"hub-user" not in sent
