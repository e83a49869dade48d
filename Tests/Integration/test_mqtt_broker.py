"""The broker is away, refuses the hub, or lies: the other faces never notice, and `status` says since when and why."""

import itertools
import threading
import time

import pytest

from broker import free_port
from devices import MQTTDevice, provision_over_coap
from fake_broker import CONNACK, FakeBroker, answer
from harness import eventually

MEBIBYTE = 1 << 20
DATA_LIMIT = 192 * MEBIBYTE  # LimitDATA of systemd/nearhub.service


def other_faces_work(hub, profile, numbers=itertools.count()):
    """HTTP and CoAP provision as ever."""
    name = f"d{next(numbers)}"
    answer = hub.provision(profile.request(name)).json
    assert answer["status"] == "SUCCESS"
    assert provision_over_coap(hub, profile.request(name))["credentialsValue"] == answer["credentialsValue"]


def works(hub, profile, broker, **login):
    """MQTT provisions."""
    device = MQTTDevice(broker, hub, **login)
    try:
        device.subscribe("/provision/response/a")
        assert device.provision(profile.request("over-mqtt"), "a")["status"] == "SUCCESS"
    finally:
        device.close()


def away(hub):
    """Waits until `status` says that there is no connection; that part of it."""
    return eventually(lambda: (shown := hub.status()["mqtt"])["state"] != "connected" and shown.get("reason") and shown)


def test_without_a_url_there_is_no_mqtt(hub):
    assert hub.status()["mqtt"]["state"] == "off"
    assert "mqtt" not in hub.stderr.lower().replace("libmosquitto", "")


def test_a_broker_that_is_away_at_boot_is_found_later(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True)
    broker.port = free_port()
    hub = hubs(f"mqtt.url={broker.url}").start()
    profile = hub.create_profile()
    shown = away(hub)
    assert "refused" in shown["reason"].lower()
    eventually(lambda: away(hub)["since"] >= 1)  # in seconds; tries that fail in between do not begin it anew
    for _ in range(20):
        other_faces_work(hub, profile)
    broker.start()
    hub.connected(20)
    assert hub.status()["mqtt"]["reason"] is None
    works(hub, profile, broker)


def test_a_broker_that_comes_back_is_subscribed_to_again(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(f"mqtt.url={broker.url}").start().connected()
    profile = hub.create_profile()
    works(hub, profile, broker)
    for end in (broker.kill9, broker.stop):
        end()
        shown = away(hub)
        other_faces_work(hub, profile)
        assert hub.status()["mqtt"]["since"] >= shown["since"]
        broker.start()
        hub.connected(20)
        works(hub, profile, broker)
    log = hub.stderr.lower()
    assert "mqtt" in log and log.count("\n") < 200


def test_a_hub_stops_in_time_whatever_the_broker_does(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(f"mqtt.url={broker.url}").start().connected()
    hub.stop()  # judged when the hub is closed: it may take STOP_SECONDS
    broker.stop()
    hub.start()
    away(hub)
    hub.stop()
    nobody = "192.0.2.1"  # RFC 5737
    for host in (nobody, "no-such-host.invalid"):
        hub.settings = [f"mqtt.url=mqtt://{host}"]
        hub.start().stop()


def test_a_wrong_password_is_named_and_not_shown(hubs, brokers):
    broker = brokers(plugin=False).start()
    hub = hubs(*broker.hub_settings)
    right = broker.directory / "hub-password"
    right.write_text("wrongPasswordOfTheHub")
    hub.guard("wrongPasswordOfTheHub", broker.hub_password)
    hub.start()
    profile = hub.create_profile()
    shown = away(hub)
    assert "auth" in shown["reason"].lower() or "password" in shown["reason"].lower()
    other_faces_work(hub, profile)
    printed = hub.cli("status")
    assert printed.code == 0 and shown["reason"].split(":")[0] in printed.out
    right.write_text(broker.hub_password)
    hub.restart().connected()
    works(hub, profile, broker, username="nearhub", password=broker.hub_password)


def test_a_refused_subscription_is_named(hubs, brokers):
    broker = brokers(users={"somebody": "somebodysPassword"}).start()  # the plugin lets only the hub's user subscribe
    password = broker.file("somebody", "somebodysPassword")
    hub = hubs(f"mqtt.url={broker.url}", "mqtt.username=somebody", f"mqtt.password-file={password}", "mqtt.client-id=s")
    hub.guard("somebodysPassword")
    hub.start()
    shown = away(hub)
    assert "subscri" in shown["reason"].lower()
    other_faces_work(hub, hub.create_profile())


def test_a_broker_that_hangs_holds_nobody_up(hubs):
    with FakeBroker(lambda connection: time.sleep(3)) as fake:
        hub = hubs(f"mqtt.url={fake.url}").start()
        fake.met.wait(10)
        profile = hub.create_profile()
        for _ in range(20):
            other_faces_work(hub, profile)
        assert hub.status()["mqtt"]["state"] != "connected"


GRANTED, NOT_AUTHORIZED = 1, 0x87


@pytest.mark.parametrize("second, reason", [
    (GRANTED, None), (NOT_AUTHORIZED, "/provision/request/+"),
], ids=["both", "one"])  # fmt: skip
def test_the_hub_counts_as_connected_once_its_subscriptions_are_granted(hubs, second, reason):
    asked, grant, end = threading.Event(), threading.Event(), threading.Event()

    def behave(connection):
        connection.recv(65536)
        connection.sendall(CONNACK)
        subscribe = connection.recv(65536)
        asked.set()
        grant.wait(10)
        connection.sendall(bytes([0x90, 5, *subscribe[2:4], 0, GRANTED, second]))
        end.wait(10)

    with FakeBroker(behave) as fake:
        try:
            hub = hubs(f"mqtt.url={fake.url}").start()
            assert asked.wait(10)
            assert hub.status()["mqtt"]["state"] != "connected"
            grant.set()
            hub.connected()
            shown = hub.status()["mqtt"]["reason"]
            assert shown is None if reason is None else reason in shown
        finally:
            grant.set()
            end.set()


def test_another_client_is_suspected_from_the_third_loss_within_a_minute_on(hubs):
    ends = threading.Semaphore(0)

    def behave(connection):
        connection.recv(65536)
        connection.sendall(CONNACK)
        subscribe = connection.recv(65536)
        connection.sendall(bytes([0x90, 5, *subscribe[2:4], 0, GRANTED, GRANTED]))
        ends.acquire(timeout=20)

    with FakeBroker(behave) as fake:
        try:
            hub = hubs(f"mqtt.url={fake.url}").start()
            for plain in (1, 2, 2, 2):
                hub.connected(20)
                ends.release()
                away(hub)
                assert hub.stderr.count("has no connection") == plain
                assert hub.stderr.count("does another client") == (fake.connections >= 3)
        finally:
            ends.release(100)


@pytest.mark.parametrize("lie", [
    answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), answer(bytes(range(256)) * 64), answer(b"\x20\xff\xff\xff\xff\xff"),
    answer(CONNACK, b"\x00" * 4096), answer(CONNACK, b"\xff" * 4096), answer(CONNACK, CONNACK), answer(),
    answer(b"\x20\x03\x00\x87\x00"), answer(b"\x20\x03\x00\x01\x00"), answer(b"\x20\x02\x00\x05"),
    answer(CONNACK, b"\x90\x04\x00\x01\x00\x87"), answer(CONNACK, b"\x90\x05\x00\x01\x00\x87\x87"),
    answer(CONNACK, b"\x90\x03\x00\x07\x00"), answer(CONNACK, b"\x90\x04\x00\x01\x00\x01" * 500_000), answer(CONNACK, b"\x30\x02\x00\x50"), answer(CONNACK, b"\x30\x00"),
    answer(CONNACK, b"\x30\x16\x00\x12/provision/request\x05"), answer(CONNACK, b"\xe0\x02\x8e\x00"),
    answer(CONNACK, b"\x30\xff\xff\xff\x7f"), answer(CONNACK, b"\x32\xff\xff\xff\x7f", flood=64),
    answer(b"\x20\xff\xff\xff\x7f", flood=64),
], ids=[
    "http", "noise", "length", "zeros", "ones", "twice", "nothing", "refused", "unknown-version", "3.1.1-connack",
    "short-suback", "suback-refused", "foreign-suback", "subacks", "publish-cut", "publish-empty", "publish-bad-properties",
    "disconnect", "256-MiB", "256-MiB-flood", "256-MiB-connack",
])  # fmt: skip
def test_a_broker_that_lies_does_no_harm(hubs, lie):
    with FakeBroker(lie) as fake:
        hub = hubs(f"mqtt.url={fake.url}", data_limit=DATA_LIMIT).start()
        profile = hub.create_profile()
        before = hub.peak_memory
        eventually(lambda: fake.connections >= 2 or fake.over.is_set(), 20)  # the first one is over
        other_faces_work(hub, profile)
        peak = hub.peak_memory
        print(f"\nat most {before // 1024} kB resident before, {peak // 1024} kB after")
        assert peak - before < 16 * MEBIBYTE
        assert hub.status()["devices"] == 1
