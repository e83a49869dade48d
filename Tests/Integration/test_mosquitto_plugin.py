"""Nearhub's plugin in a real Mosquitto: each device gets its own answer, and nobody else sees anything of it.

The hub is a stand-in, because many of these tests need one that is late, silent or away. Two spies listen during all
tests of the file, and the broker writes its database file at every change; what they have is judged at the end.
"""

import itertools
import json
import re
import signal
import socket
import subprocess

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from broker import Broker, plugin_file
from harness import canary, eventually
from peers import NOT_AUTHORIZED, REFUSED, REQUEST, RESPONSE, WILDCARDS, Client, StandInHub, held, wait

OTHER = {"other": "other-password"}
REQUEST_SECONDS = 10


class Site:
    """A broker with the plugin, a hub, and two spies: one with the devices' login, one with a user of its own."""

    def __init__(self):
        self.broker = Broker(users=OTHER, persistence=True).start()
        self.hub = StandInHub(self.broker)
        self.device_spy = Client(self.broker, "device-spy", subscribe=WILDCARDS)
        self.user_spy = Client(
            self.broker, "user-spy", username="other", password="other-password", subscribe=WILDCARDS
        )

    def close(self):
        self.hub.close()
        for spy in (self.device_spy, self.user_spy):
            spy.settle()
        try:
            assert not held(self.device_spy), held(self.device_spy)
            seen = held(self.user_spy)
            assert b"$SYS/" in seen  # it does see what it may
            for word in (b"SECRET", b"EVIL", b"provision"):
                assert word not in seen, f"{word} in what an ordinary user sees"
        finally:
            self.device_spy.close()
            self.user_spy.close()
            self.broker.close()


@pytest.fixture(scope="module")
def site():
    site = Site()
    yield site
    site.close()


def assert_own_answer(site, device, name):
    """The device got one message: the answer to its own request, as ThingsBoard would have sent it."""
    [answer] = device.answers()
    device.settle()
    [message] = device.received
    assert (message.topic, message.retain) == (RESPONSE, False)
    assert answer["credentialsValue"] == site.hub.secrets[name]


# Private answers


@pytest.mark.parametrize(("version", "qos"), list(itertools.product((4, 5), (0, 1, 2))))
def test_two_devices_each_see_their_own_answer_only(site, version, qos):
    first, second = (Client(site.broker, f"{name}-{version}{qos}", version=version, qos=qos) for name in ("a", "b"))
    names = [f"{one}{version}{qos}" for one in ("A", "B")]
    for device, name in zip((first, second), names):
        device.ask(name, qos)
    for device, name in zip((first, second), names):
        assert_own_answer(site, device, name)
        device.close()


CLIENT_IDS = ["a/b", "a+b", "a#", "+", "#", "żółw-日本", "a b", " ", "%c", "x" * 200, "", "provision"]


@pytest.mark.parametrize("version", (4, 5))
@pytest.mark.parametrize("client_id", CLIENT_IDS, ids=lambda one: ascii(one)[:12])
def test_any_client_id_gets_its_answer(site, client_id, version):
    # ThingsBoard takes the client id "provision" for the username, too.
    username = None if client_id == "provision" else "provision"
    device = Client(site.broker, client_id, version=version, username=username)
    name = canary("name")
    device.ask(name)
    assert_own_answer(site, device, name)
    device.close()


def test_an_answer_needs_no_subscription(site):
    device = Client(site.broker, "no-subscription", subscribe=())
    device.ask("no-subscription")
    assert_own_answer(site, device, "no-subscription")
    device.close()


def test_a_topic_alias_is_served_again_and_again(site):
    device = Client(site.broker, "alias", version=5)
    properties = Properties(PacketTypes.PUBLISH)
    properties.TopicAlias = 1
    for count, topic in enumerate((REQUEST, "", ""), start=1):
        body = {"deviceName": f"alias{count}", "provisionDeviceSecret": canary("PSECRET")}
        device.client.publish(topic, json.dumps(body), properties=properties)
        assert len(device.answers(count)) == count
    device.close()


def test_several_requests_of_one_connection_are_all_answered(site):
    device = Client(site.broker, "several")
    for number in range(20):
        device.ask(f"several{number}", 1)
    answers = device.answers(20)
    assert [one["credentialsValue"] for one in answers] == [site.hub.secrets[f"several{n}"] for n in range(20)]
    device.close()


def test_a_device_may_publish_before_it_subscribes(site):
    """ThingsBoard's own script does so: on a plain broker the answer is lost in most runs."""
    device = Client(site.broker, "seed", subscribe=())
    device.ask("seed", 1)
    wait(0.002)
    device.subscribe(RESPONSE)
    assert_own_answer(site, device, "seed")
    device.close()


# What is refused, and what is dropped


@pytest.mark.parametrize("version", (4, 5))
def test_a_retained_request_is_refused(site, version):
    device = Client(site.broker, "retained", version=version)
    before = len(site.hub.topics)
    device.ask("retained", 1, retain=True)
    eventually(lambda: device.acknowledged)
    device.settle()
    assert not device.received
    assert len(site.hub.topics) == before
    device.close()


def test_a_device_that_is_gone_when_the_answer_comes_must_ask_again(site):
    device = Client(site.broker, "gone", clean=False)
    device.ask("gone", delay=0.5)
    eventually(lambda: "gone" in site.hub.secrets)
    device.close()
    wait(0.8)
    device = Client(site.broker, "gone", clean=False)
    device.settle()
    assert not device.received
    device.ask("gone")
    assert_own_answer(site, device, "gone")
    device.close()


def test_a_client_id_with_an_open_request_cannot_be_taken_over(site):
    victim = Client(site.broker, "victim")
    victim.ask("victim", delay=0.5)
    eventually(lambda: "victim" in site.hub.secrets)
    attacker = Client(site.broker, "victim", subscribe=())
    assert attacker.code == NOT_AUTHORIZED
    assert_own_answer(site, victim, "victim")
    # The broker delivers by client id, a moment after the plugin handed the answer over: locked for that moment too.
    again = Client(site.broker, "victim", subscribe=())
    assert again.code == NOT_AUTHORIZED
    assert not attacker.received and not again.received
    for one in (attacker, again, victim):
        one.close()


def test_a_client_id_is_locked_until_its_answer_is_delivered(brokers):
    """The broker delivers by client id, one main loop later. A link may end and a stranger come between the two."""
    broker = brokers().start()
    hub = StandInHub(broker)
    caught = []
    for round in range(10):
        victim, attacker = RawDevice(broker, "victim"), RawDevice(broker, "victim", connect=False)
        victim.ask(f"raced{round}", delay=0.3)
        eventually(lambda: f"raced{round}" in hub.secrets)
        broker.process.send_signal(signal.SIGSTOP)
        wait(0.4)  # so that it finds the answer, the end and the newcomer in one main loop, in this order
        victim.close()
        wait(0.02)
        attacker.connect()
        wait(0.02)
        broker.process.send_signal(signal.SIGCONT)
        caught.append(attacker.read_until_quiet())
        attacker.close()
        # Not for longer: the device itself comes back with its next connection.
        again = RawDevice(broker, "victim")
        again.close()
    assert not [one for one in caught if b"SECRET" in one], caught
    assert caught.count(b"\x20\2\0\5") > 0, "no newcomer came in time"
    hub.close()


def test_a_device_may_come_back_at_once_when_it_has_its_answer(site):
    for round in range(10):
        device = Client(site.broker, "at-once")
        assert device.code == 0
        device.ask(f"at once {round}")
        assert_own_answer(site, device, f"at once {round}")
        device.close()


def test_a_takeover_without_a_request_is_the_brokers_business(site):
    first = Client(site.broker, "taken")
    first.ask("taken")
    assert_own_answer(site, first, "taken")
    wait(2.1)
    second = Client(site.broker, "taken")
    assert second.code == 0
    assert first.ended.wait(5)
    second.ask("taken")
    assert_own_answer(site, second, "taken")
    second.close()


def test_the_devices_login_inherits_nothing_from_another_users_session(site):
    """A broker lets anybody connect with a client id who may connect at all; but what was meant for the owner stays."""
    options = {"username": "other", "password": "other-password", "clean": False}
    owner = Client(site.broker, "application", subscribe=("news",), **options)
    owner.close()
    sender = Client(site.broker, "sender", username="other", password="other-password", subscribe=())
    sender.publish("news", "while away", 1)
    sender.settle()
    attacker = Client(site.broker, "application", clean=False)
    assert attacker.code == 0
    sender.publish("news", "while taken over", 1)
    sender.settle()
    attacker.settle()
    assert not attacker.received
    for one in (attacker, sender):
        one.close()


@pytest.mark.parametrize("username", ("provision", "other"))
def test_nobody_else_connects_with_the_hubs_client_id(site, username):
    attacker = Client(site.broker, "nearhub", username=username, password=OTHER.get(username), subscribe=())
    assert attacker.code == NOT_AUTHORIZED
    attacker.close()


@pytest.mark.parametrize("password", (None, "", "wrong"))
def test_nobody_is_the_hub_without_its_password(site, password):
    attacker = Client(site.broker, "attacker", username="nearhub", password=password, subscribe=())
    assert attacker.code == NOT_AUTHORIZED
    attacker.close()


@pytest.mark.parametrize("login", (("provision", None), ("other", "other-password")), ids=lambda one: one[0])
@pytest.mark.parametrize("version", (4, 5))
def test_forged_messages_reach_nobody(site, version, login):
    name = canary("forged")
    victim = Client(site.broker, canary("victim"))
    victim.ask(name, delay=0.3)
    eventually(lambda: name in site.hub.secrets)
    serial = site.hub.topics[-1].rsplit("/", 1)[1]
    requests = len(site.hub.topics)
    forger = Client(site.broker, f"forger-{version}", version=version, username=login[0], password=login[1])
    for topic in (RESPONSE, f"{RESPONSE}/{serial}", f"{RESPONSE}/1", f"{REQUEST}/{serial}", f"{REQUEST}/1",
                  "$nearhub/consumed", "/provision/requestx", "/provision/"):  # fmt: skip
        for retain in (False, True):
            forger.publish(topic, "EVIL", 1, retain)
    forger.settle()
    assert_own_answer(site, victim, name)
    assert len(site.hub.topics) == requests
    late = Client(site.broker, "late", subscribe=WILDCARDS)
    late.settle()
    assert not late.received, held(late)
    for one in (victim, forger, late):
        one.close()


@pytest.mark.parametrize("topic", (REQUEST, RESPONSE, RESPONSE + "/1", REQUEST + "/1"))
def test_a_will_reaches_nobody(site, topic):
    requests = len(site.hub.topics)
    for retain in (False, True):
        device = Client(site.broker, "willer", subscribe=(), will=(topic, "EVIL PSECRET", 1, retain))
        assert device.code == 0
        device.cut()
        eventually(lambda: not alive(site, "willer"))
    for late in (Client(site.broker, "late", subscribe=WILDCARDS),
                 Client(site.broker, "later", username="other", password="other-password", subscribe=WILDCARDS)):
        late.settle()
        assert b"EVIL" not in held(late)
        late.close()
    assert len(site.hub.topics) == requests


def alive(site, client_id) -> bool:
    """Whether the broker's log says that a client is connected."""
    pattern = rf"New client connected from \S+ as {client_id} |Client {client_id} (?:closed|disconnected)"
    changes = re.findall(pattern, site.broker.log)
    return bool(changes) and changes[-1].startswith("New")


def test_a_spy_is_told_so(site):
    """Filters on the provisioning topics are refused, and to those who want to be provisioned all others too."""
    allowed = {RESPONSE}
    assert [one in REFUSED for one in site.device_spy.granted] == [filter not in allowed for filter in WILDCARDS]
    refused = {filter for filter, one in zip(WILDCARDS, site.user_spy.granted) if one in REFUSED}
    assert refused == {one for one in WILDCARDS if one.startswith(("/provision/", "$nearhub/")) and one not in allowed}


def test_one_who_wants_to_be_provisioned_gets_no_other_topic(site):
    device = Client(site.broker, "curious", subscribe=())
    user = Client(site.broker, "user", username="other", password="other-password", subscribe=("private/news",))
    assert device.subscribe("private/news")[0] in REFUSED
    device.publish("private/news", "EVIL", 1)
    device.settle()
    user.publish("private/news", "news")
    eventually(lambda: user.received)
    user.settle()
    assert [one.payload for one in user.received] == [b"news"]
    assert not device.received
    device.close()
    user.close()


# Hubs that are late, silent, away


@pytest.mark.parametrize("version", (4, 5))
def test_without_an_answer_the_connection_ends_as_with_thingsboard(site, version):
    device = Client(site.broker, f"unheard-{version}", version=version)
    device.ask("unheard", 1, silent=True)
    assert not device.ended.wait(REQUEST_SECONDS - 2)
    assert device.ended.wait(4), "the device waits for ever"
    again = Client(site.broker, f"unheard-{version}", version=version)
    again.ask("heard")
    assert_own_answer(site, again, "heard")
    again.close()
    device.close()


def test_an_answered_connection_stays(site):
    device = Client(site.broker, "staying")
    device.ask("staying")
    assert_own_answer(site, device, "staying")
    assert not device.ended.wait(4)
    device.ask("staying")
    assert len(device.answers(2)) == 2
    device.close()


def test_hub_away_is_noticed_and_its_return_too(brokers):
    broker = brokers().start()
    device = Client(broker, "early")
    device.ask("early", 1)
    assert device.ended.wait(REQUEST_SECONDS + 2)
    assert "nearhub: the hub did not answer within 10 seconds; connections closed: 1" in broker.log
    hub = StandInHub(broker)
    device = Client(broker, "early")
    device.ask("early", 1)
    assert device.answers()[0]["credentialsValue"] == hub.secrets["early"]
    device.close()
    hub.close()


@pytest.mark.parametrize("version", (4, 5))
def test_nothing_is_kept_for_a_hub_that_is_away(brokers, version):
    """Even one with a persistent session: the secrets of the requests would be in the database file."""
    broker = brokers(persistence=True).start()
    hub = StandInHub(broker, version=4, clean=False)
    hub.close()
    device = Client(broker, "device", version=version)
    secrets = [device.ask(f"away{qos}", qos) for qos in (0, 1, 2)]
    broker.guard(*secrets)
    device.settle()
    broker.save()
    eventually(lambda: broker.holds("nearhub"))  # its session, but not what was sent to it
    assert not any(broker.holds(secret) for secret in secrets)
    hub = StandInHub(broker, version=4, clean=False)
    device.settle()
    assert not hub.topics
    device.close()
    hub.close()


def test_nothing_is_kept_for_a_hub_that_hangs(brokers):
    """It reads nothing more: what waits for it is in memory and in its socket only."""
    broker = brokers(persistence=True).start()
    hub = StandInHub(broker)
    hub.client.loop_stop()
    devices = [Client(broker, f"device{number}") for number in range(50)]
    secrets = [device.ask("hanging", 1) for device in devices]
    broker.guard(*secrets)
    for device in devices:
        device.settle()
    broker.save()
    eventually(broker.database_file.exists)
    broker.stop()  # writes the file once more
    assert not any(broker.holds(secret) for secret in secrets)
    for device in devices:
        device.close()


def test_a_hub_with_another_client_id_is_told(brokers):
    broker = brokers().start()
    hub = StandInHub(broker, client_id="another")
    assert "nearhub: the hub's client id is not 'nearhub' (plugin_opt_hub_id)" in broker.log
    hub.close()


def test_a_hub_that_answers_nonsense_harms_nobody(site):
    device = Client(site.broker, "nonsense")
    device.ask("nonsense", delay=0.4)
    eventually(lambda: "nonsense" in site.hub.secrets)
    serial = site.hub.topics[-1].rsplit("/", 1)[1]
    for wrong in ("", "0", serial[:-1], serial + "0", serial.upper() if serial.upper() != serial else "Z" * 16,
                  "0x" + serial[2:], "f" * 16, serial + "/x", "-" + serial[1:], " " + serial[1:]):  # fmt: skip
        site.hub.client.publish(f"{RESPONSE}/{wrong}", "EVIL")
    assert_own_answer(site, device, "nonsense")
    device.close()


# Limits


def test_the_largest_payload(site):
    device = Client(site.broker, "large", version=5)
    device.ask("large", padding="x" * 65_800)
    assert_own_answer(site, device, "large")
    device.ask("larger", padding="x" * 66_000)
    assert device.ended.wait(2)
    device.close()


def test_1024_open_requests_and_no_more(brokers):
    """One address gets a quarter at most, half while nobody else asks. A further request is not left waiting.

    Those that are open end by their time, and make room.
    """
    broker = brokers(["max_connections -1"]).start()
    floods = [("127.0.0.1", 512), ("127.0.0.2", 256), ("127.0.0.3", 256), ("127.0.0.4", 0)]
    connections = []
    for address, share in floods:
        flood = [RawDevice(broker, f"{address}-{number}", address=address) for number in range(share + 2)]
        connections += flood
        for one in flood:
            one.ask("flood", silent=True)
        eventually(lambda: sum(one.closed() for one in flood) == 2)
        wait(0.1)
        assert sum(one.closed() for one in flood) == 2
    eventually(lambda: "nearhub: too many connections with open requests (1024 in all, 256 of one" in broker.log)
    eventually(lambda: all(one.closed() for one in connections), REQUEST_SECONDS + 10)
    for one in connections:
        one.close()  # paho waits with select(), which knows 1024 descriptors only
    hub = StandInHub(broker)
    device = Client(broker, "device")
    device.ask("after the flood")
    assert device.answers()
    device.close()
    hub.close()


def test_answered_connections_make_room(brokers):
    """They keep their place for a while, but not from others."""
    broker = brokers(["max_connections -1"]).start()
    hub = StandInHub(broker)
    connections = [RawDevice(broker, f"device{number}") for number in range(1100)]
    for number, one in enumerate(connections):
        one.ask(f"device{number}")
        assert b"SECRET" in one.read_until_quiet(), number
    for one in connections:
        one.close()
    hub.close()


class RawDevice:
    """A device in a few bytes of MQTT 3.1.1, for floods and races of them."""

    def __init__(self, broker, client_id: str, *, address: str = "127.0.0.1", connect: bool = True):
        self.client_id = client_id.encode()
        self.over = False
        self.socket = socket.create_connection((broker.host, broker.port), timeout=10, source_address=(address, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if connect:
            self.connect()
            assert self.socket.recv(4) == b"\x20\2\0\0"
            self.socket.setblocking(False)

    def connect(self):
        """Sends the CONNECT."""
        body = b"\0\4MQTT\4\x82\0\0" + len(self.client_id).to_bytes(2) + self.client_id + b"\0\x09provision"
        self.socket.sendall(b"\x10" + bytes([len(body)]) + body)

    def ask(self, name: str, **members):
        request = json.dumps({"deviceName": name, "provisionDeviceSecret": "PSECRET-raw", **members})
        body = b"\0\x12" + REQUEST.encode() + request.encode()
        assert len(body) < 128  # one byte of length
        self.socket.send(b"\x30" + bytes([len(body)]) + body)

    def read_until_quiet(self, seconds: float = 0.5) -> bytes:
        """What comes until the broker closes or a message is there, at most for `seconds`."""
        self.socket.settimeout(seconds)
        received = b""
        try:
            while b"}" not in received and (chunk := self.socket.recv(4096)):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
        return received

    def closed(self) -> bool:
        try:
            self.over = self.over or self.socket.recv(1) == b""
        except BlockingIOError:
            pass
        except ConnectionError:
            self.over = True
        return self.over

    def close(self):
        self.socket.close()


# Bridges, ACLs, configuration


def test_a_bridge_carries_nothing_either_way(brokers):
    remote = brokers(plugin=False, anonymous=True).start()
    far_spy = Client(remote, "far-spy", username=None, subscribe=("#", "/provision/#"))
    bridge = ["connection up", f"address {remote.host}:{remote.port}", "topic # both 1", "notifications false"]
    broker = brokers(bridge, persistence=True, users=OTHER).start()
    hub = StandInHub(broker)
    user = Client(broker, "user", username="other", password="other-password", subscribe=("from/there",))

    def bridged(sender, receiver, topic) -> bool:
        sender.publish(topic, "across")
        receiver.settle()
        return any(one.topic == topic for one in receiver.received)

    eventually(lambda: bridged(user, far_spy, "from/here"), 15, 0.2)
    eventually(lambda: bridged(far_spy, user, "from/there"), 15, 0.2)
    device = Client(broker, "device")
    device.ask("bridged", 1)
    assert device.answers()[0]["credentialsValue"] == hub.secrets["bridged"]
    far_spy.ask("from far", 1)
    far_spy.publish(f"{RESPONSE}/1", "EVIL", 1)
    far_spy.publish(RESPONSE, "EVIL", 1)
    assert bridged(far_spy, user, "from/there") and bridged(user, far_spy, "from/here")
    device.settle()
    assert len(device.received) == 1
    assert len(hub.topics) == 1
    seen = held(far_spy)
    assert hub.secrets["bridged"].encode() not in seen
    assert b"deviceName" not in seen.replace(b"from far", b"") or seen.count(b"deviceName") == 1  # its own
    for one in (device, user, far_spy):
        one.close()
    hub.close()


@pytest.mark.parametrize("end", ("cut", "broker ends", "delayed"))
def test_a_will_on_the_requests_topic_crosses_no_bridge(brokers, end):
    """Bridges pass every ACL check, and the check of a will cannot be told from that of a message."""
    remote = brokers(plugin=False, anonymous=True).start()
    far_spy = Client(remote, "far-spy", username=None, subscribe=("#",))
    bridge = ["connection out", f"address {remote.host}:{remote.port}", "topic # out 1", "notifications false"]
    broker = brokers(bridge, users=OTHER).start()
    user = Client(
        broker, "user", username="other", password="other-password", subscribe=(), will=("from/will", "across", 1)
    )

    def bridged(topic) -> bool:
        user.publish(topic, "across")
        far_spy.settle()
        return any(one.topic == topic for one in far_spy.received)

    eventually(lambda: bridged("from/here"), 15, 0.2)
    willer = Client(broker, "willer", version=5 if end == "delayed" else 4, subscribe=(), will=(REQUEST, "PSECRET", 1),
                    will_delay=1 if end == "delayed" else 0)  # fmt: skip
    assert willer.code == 0
    if end == "broker ends":
        broker.stop()
        eventually(lambda: b"from/will" in held(far_spy))
    else:
        willer.cut()
        wait(2.5 if end == "delayed" else 0.5)
        assert bridged("from/there")
        user.close()
    far_spy.settle()
    assert b"PSECRET" not in held(far_spy), held(far_spy)
    willer.client.loop_stop()
    user.client.loop_stop()
    far_spy.close()


def test_an_acl_file_decides_about_all_other_topics(brokers):
    """With others = defer, before and after SIGHUP."""
    broker = brokers(plugin_options={"others": "defer"}, users=OTHER)
    acl = broker.file("acl", "user other\ntopic readwrite ok/#\n")
    broker.lines.append(f"acl_file {acl}")
    broker.start()
    hub = StandInHub(broker)
    for round in range(2):
        user = Client(broker, "user", username="other", password="other-password", subscribe=("#",))
        for topic in ("ok/news", "no/news"):
            user.publish(topic, "news")
        eventually(lambda: user.received)
        user.settle()
        assert [one.topic for one in user.received] == ["ok/news"]
        device = Client(broker, f"device{round}")
        device.ask(f"name{round}", 1)
        assert device.answers()[0]["credentialsValue"] == hub.secrets[f"name{round}"]
        device.close()
        user.close()
        if round == 0:
            broker.reload()
            eventually(lambda: "Reloading config" in broker.log)
    hub.close()


def test_other_names_for_hub_and_devices(brokers):
    options = {"hub_user": "hub-u", "hub_id": "hub-i", "device_user": "newcomer"}
    broker = brokers(plugin_options=options, users={"hub-u": "hub-password"}).start()
    hub = StandInHub(broker, client_id="hub-i", username="hub-u", password="hub-password")
    device = Client(broker, "device", username="newcomer")
    device.ask("named")
    assert device.answers()[0]["credentialsValue"] == hub.secrets["named"]
    stranger = Client(broker, "stranger", username="provision", subscribe=())
    assert stranger.code == NOT_AUTHORIZED
    for one in (device, stranger, hub):
        one.close()


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("hub_name", "x", "nearhub: plugin_opt_hub_name is unknown or its value is bad"),
        ("others", "perhaps", "nearhub: plugin_opt_others is unknown or its value is bad"),
        ("device_user", "nearhub", "nearhub: plugin_opt_hub_user and plugin_opt_device_user must differ"),
    ],
)
def test_a_wrong_option_ends_the_start(brokers, option, value, complaint):
    broker = brokers(plugin_options={option: value})
    with pytest.raises(AssertionError, match="did not start"):
        broker.start()
    assert complaint in broker.log


# The file itself


def test_it_exports_three_functions_and_is_hardened():
    symbols = subprocess.run(["nm", "-D", "--defined-only", plugin_file()], capture_output=True, text=True, check=True)
    names = sorted(line.split()[-1] for line in symbols.stdout.splitlines())
    assert names == ["mosquitto_plugin_cleanup", "mosquitto_plugin_init", "mosquitto_plugin_version"]
    headers = subprocess.run(["readelf", "-dlW", plugin_file()], capture_output=True, text=True, check=True).stdout
    assert "GNU_RELRO" in headers and "BIND_NOW" in headers
    assert re.search(r"GNU_STACK .* RW ", headers)


@pytest.mark.slow
def test_valgrind_finds_nothing_of_the_plugin(brokers):
    """Memory errors anywhere, and leaks of blocks that the plugin's own code allocated."""
    broker = brokers(users=OTHER, persistence=True)
    report = broker.directory / "valgrind"
    # The broker unloads the plugin before the report is written: without its debug information no frame has a name.
    broker.wrapper = ["valgrind", "--leak-check=full", "--show-leak-kinds=all", "--num-callers=30"]
    broker.wrapper += ["--keep-debuginfo=yes", f"--log-file={report}"]
    broker.start()
    hub = StandInHub(broker)
    for number, version in enumerate((4, 5) * 3):
        device = Client(broker, f"device{number % 2}", version=version)
        device.ask(f"name{number}", number % 3)
        if device.code == 0:
            device.answers()
        device.publish(RESPONSE, "EVIL", 1, True)
        device.cut() if number % 2 else device.close()
        wait(2.2)
    silent = [Client(broker, f"silent{number}") for number in range(3)]
    for device in silent:
        device.ask("silent", 1, silent=True)
    assert all(device.ended.wait(REQUEST_SECONDS + 5) for device in silent)
    still_open = Client(broker, "open")
    still_open.ask("open", 1, silent=True)
    still_open.settle()
    broker.stop()
    hub.close()
    still_open.close()
    text = report.read_text()
    assert "ERROR SUMMARY" in text
    print("".join(line.split("== ", 1)[1] + "\n" for line in text.splitlines() if "lost:" in line or "SUMMARY" in line))
    ours = re.compile(r"\((hooks|plugin|requesters)\.c:|Invalid|uninitialised")
    blocks = [block for block in re.split(r"==\d+== \n", text) if ours.search(block)]
    assert not blocks, "\n".join(blocks)
