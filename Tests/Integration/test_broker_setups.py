"""The three set-ups of a broker that etc/mosquitto ships, as they stand, with a real hub: who sees what.

Only ports, paths and the hub's address are replaced. Each set-up is spied on with every wildcard by the devices' own
login and by a user of the password file, while the broker writes its database file at every change.
"""

import json
import re
import signal
import subprocess

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from broker import REPOSITORY, free_port, plugin_file
from harness import canary, eventually
from peers import REQUEST, RESPONSE, WILDCARDS, Client, held, wait

SHIPPED = REPOSITORY / "etc" / "mosquitto"
PERSISTENCE = ["persistence true", "persistence_location DIRECTORY/", "autosave_on_changes true", "autosave_interval 1"]
USERS = {"other": "other-password"}


def shipped(name: str, *more: str) -> str:
    """A configuration of etc/mosquitto for a broker of the tests."""
    text = (SHIPPED / name).read_text()
    for shipped_text, ours in (
        ("\nlistener 1883\n", "\nlistener PORT 127.0.0.1\n"),
        ("\npassword_file /etc/mosquitto/nearhub.pw\n", "\npassword_file DIRECTORY/passwords\n"),
        ("\nplugin /usr/lib/nearhub/nearhub_mosquitto.so\n", f"\nplugin {plugin_file()}\n"),
        ("\nacl_file /etc/mosquitto/", f"\nacl_file {SHIPPED}/"),
    ):
        assert text.count(shipped_text) <= 1
        text = text.replace(shipped_text, ours)
    used = [line for line in text.splitlines() if not line.startswith("#")]
    assert not any("/etc/mosquitto" in line and str(SHIPPED) not in line for line in used), used
    return "\n".join([text, "log_type all", *more, ""])


class Plugin:
    """Unmodified devices of ThingsBoard."""

    configuration, users, settings, password = "nearhub.conf", {}, [], None

    def device(self, broker, client_id, **options):
        return Device(self, broker, client_id, RESPONSE, **options)

    def ask(self, device, request):
        device.publish(REQUEST, request, 1)


class PerClient:
    """Devices that ask and are answered on topics with their client id."""

    configuration, users, settings, password = "acl.conf", {"provision": "devices-password"}, [], "devices-password"

    def device(self, broker, client_id, **options):
        return Device(self, broker, client_id, f"{RESPONSE}/{client_id}", **options)

    def ask(self, device, request):
        device.publish(f"{REQUEST}/{device.id}", request, 1)


class ResponseTopics:
    """Devices that name the topic of their answer in the request, by MQTT 5."""

    configuration, users, password = "mqtt5.conf", {"provision": "devices-password"}, "devices-password"
    settings = ["mqtt.response-topics=yes"]

    def device(self, broker, client_id, **options):
        return Device(self, broker, client_id, f"provisioned/{client_id}", version=5, **options)

    def ask(self, device, request):
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = f"provisioned/{device.id}"
        properties.CorrelationData = device.id.encode()
        device.client.publish(REQUEST, request, 1, properties=properties)


class Device(Client):
    """A device as a set-up wants it."""

    def __init__(self, setup, broker, client_id, topic, **options):
        self.setup, self.id = setup, client_id
        super().__init__(broker, client_id, password=setup.password, subscribe=(topic,), **options)

    def request(self, profile, name):
        self.setup.ask(self, json.dumps(profile.request(name)))


SETUPS = [Plugin(), PerClient(), ResponseTopics()]
setups = pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.configuration)


@pytest.fixture
def site(setup, brokers, hubs):
    """A broker of the set-up, its hub and a profile."""
    broker = brokers(configuration=shipped(setup.configuration, *PERSISTENCE), users=USERS | setup.users)
    return start(broker, hubs, setup)


def start(broker, hubs, setup):
    broker.start()
    hub = hubs(*broker.hub_settings, *setup.settings).start().connected()
    profile = hub.create_profile()
    broker.guard(profile.key, profile.secret)
    return broker, hub, profile


def guard(broker, hub, answer) -> str:
    """Guards the credentials in an answer; the answer's token."""
    hub.guard_answer(json.dumps(answer).encode())
    assert answer["status"] == "SUCCESS", answer
    broker.guard(answer["credentialsValue"])
    return answer["credentialsValue"]


def spies(setup, broker, *more):
    """Listens with every wildcard, with the devices' login and as an ordinary user, in MQTT 3.1.1 and 5."""
    return [
        Client(broker, canary("spy"), version=version, username=user, password=password,
               subscribe=(*WILDCARDS, *more))
        for user, password in (("provision", setup.password), ("other", "other-password")) for version in (4, 5)
    ]  # fmt: skip


@setups
def test_two_devices_are_private_and_spies_see_nothing(setup, site):
    broker, hub, profile = site
    listening = spies(setup, broker, f"{RESPONSE}/dev-a", f"{REQUEST}/dev-a", "provisioned/dev-a", "provisioned/+")
    tokens = {}
    devices = [setup.device(broker, f"dev-{one}") for one in "ab"]
    for round in range(3):
        for device in devices:
            device.request(profile, f"{device.id}-{round}")
        for device in devices:
            answers = device.answers(round + 1)
            device.settle()
            assert len(answers) == len(device.received) == round + 1
            tokens[f"{device.id}-{round}"] = guard(broker, hub, answers[-1])
    assert {name: hub.credentials(name)["credentialsId"] for name in tokens} == tokens
    for spy in listening:
        spy.settle()
        seen = held(spy)
        assert not [one for one in (*tokens.values(), profile.secret, profile.key) if one.encode() in seen]
        assert b"provision" not in seen
        spy.close()
    for device in devices:
        device.close()


@setups
def test_an_answer_is_not_kept_for_a_device_that_is_gone(setup, site):
    """A persistent session that subscribed at QoS 1: a kept answer would be in the database file."""
    broker, hub, profile = site
    device = setup.device(broker, "gone", clean=False)
    hub.process.send_signal(signal.SIGSTOP)  # it answers when the device is gone
    device.request(profile, "gone")
    device.settle()
    device.close()
    hub.process.send_signal(signal.SIGCONT)
    if setup.configuration == "nearhub.conf":
        wait(1)
    else:
        eventually(lambda: hub.device("gone"))
    if hub.device("gone"):
        broker.guard(hub.credentials("gone")["credentialsId"])
    back = setup.device(broker, "gone", clean=False)
    back.settle()
    assert not back.received
    back.request(profile, "gone")  # within the repeat window: the same device and token
    token = guard(broker, hub, back.answers()[0])
    assert hub.credentials("gone")["credentialsId"] == token
    broker.stop()  # writes the file
    assert broker.database_file.exists()
    back.close()


@setups
def test_wills_and_retained_messages_give_nothing_away(setup, site):
    broker, hub, profile = site
    listening = spies(setup, broker)
    victim = setup.device(broker, "victim")
    for topic in (REQUEST, RESPONSE, f"{REQUEST}/victim", f"{RESPONSE}/victim"):
        for retain in (False, True):
            attacker = Client(broker, canary("attacker"), password=setup.password, subscribe=(),
                              will=(topic, "EVIL", 1, retain))  # fmt: skip
            attacker.publish(topic, "EVIL", 1, retain)
            attacker.subscribe("settled")
            if attacker.code == 0:
                attacker.cut()
    late = spies(setup, broker)
    victim.request(profile, "victim")
    token = guard(broker, hub, victim.answers()[0])
    for spy in (*listening, *late):
        spy.settle()
        seen = held(spy)
        assert token.encode() not in seen and b"EVIL" not in seen and profile.secret.encode() not in seen
        spy.close()
    victim.settle()
    assert len(victim.received) == 1
    assert [one["name"] for one in hub.devices()] == ["victim"]
    victim.close()


@setups
def test_bridges_carry_no_secret(setup, brokers, hubs):
    """With the plugin a bridge may carry '#'. Bridges pass every ACL: without it they may not have these topics."""
    remote = brokers(plugin=False, anonymous=True).start()
    far_spy = Client(remote, "far-spy", username=None, subscribe=("#",))
    topic = "#" if setup.configuration == "nearhub.conf" else "site/#"
    bridge = ["connection up", f"address {remote.host}:{remote.port}", f"topic {topic} both 1", "notifications false"]
    broker = brokers(configuration=shipped(setup.configuration, *bridge), users=USERS | setup.users)
    broker, hub, profile = start(broker, hubs, setup)
    eventually(lambda: re.search(rf"\n\d+: \S+\.up 1 {re.escape(topic)}\n", remote.log), 15)  # it has subscribed
    device = setup.device(broker, "bridged")
    device.request(profile, "bridged")
    token = guard(broker, hub, device.answers()[0])
    wait(0.3)
    far_spy.settle()
    seen = held(far_spy)
    assert token.encode() not in seen and profile.secret.encode() not in seen and b"bridged" not in seen
    for one in (device, far_spy):
        one.close()


# What each set-up refuses


def test_per_client_topics_belong_to_their_client(brokers, hubs):
    setup = SETUPS[1]
    broker = brokers(configuration=shipped(setup.configuration), users=USERS | setup.users)
    broker, hub, profile = start(broker, hubs, setup)
    victim, attacker = setup.device(broker, "victim"), setup.device(broker, "attacker")
    request = json.dumps(profile.request("attacker"))
    for topic in (REQUEST, f"{REQUEST}/victim", f"{RESPONSE}/victim", f"{REQUEST}/attacker/x", RESPONSE):
        attacker.publish(topic, request, 1)
    attacker.settle()
    victim.request(profile, "victim")
    guard(broker, hub, victim.answers()[0])
    victim.settle()
    assert len(victim.received) == 1 and not attacker.received
    assert [one["name"] for one in hub.devices()] == ["victim"]
    for wild in ("+", "#", "a/b"):
        odd = Client(broker, wild, password=setup.password, subscribe=(f"{RESPONSE}/+", RESPONSE + "/#"))
        odd.publish(f"{REQUEST}/{wild}" if wild == "a/b" else f"{REQUEST}/x", request, 1)
        odd.settle()
        assert not odd.received
        odd.close()
    victim.close()
    attacker.close()


def test_a_user_for_each_device_makes_client_ids_worthless(brokers, hubs):
    """The variant that nearhub.acl names: %u instead of %c."""
    users = {"meter-1": "password-1", "meter-2": "password-2"}
    text = shipped("acl.conf").replace(f"{SHIPPED}/nearhub.acl", "DIRECTORY/acl")
    broker = brokers(configuration=text, users=users)
    broker.file("acl", re.sub(r"^(pattern .*)%c$", r"\1%u", (SHIPPED / "nearhub.acl").read_text(), flags=re.MULTILINE))
    broker, hub, profile = start(broker, hubs, SETUPS[1])
    own = f"{RESPONSE}/meter-1"
    victim = Client(broker, "meter-1", username="meter-1", password="password-1", subscribe=(own,))
    hub.process.send_signal(signal.SIGSTOP)  # the attack has all the time it needs
    victim.publish(f"{REQUEST}/meter-1", json.dumps(profile.request("meter-1")), 1)
    victim.settle()
    attacker = Client(broker, "meter-1", username="meter-2", password="password-2", subscribe=(own, "#"))
    assert attacker.code == 0 and victim.ended.wait(5)
    hub.process.send_signal(signal.SIGCONT)
    eventually(lambda: hub.device("meter-1"))
    attacker.settle()
    assert not attacker.received
    attacker.close()
    back = Client(broker, "meter-1", username="meter-1", password="password-1", subscribe=(own,))
    back.publish(f"{REQUEST}/meter-1", json.dumps(profile.request("meter-1")), 1)
    assert guard(broker, hub, back.answers()[0]) == hub.credentials("meter-1")["credentialsId"]
    back.close()


def test_without_any_of_them_spies_see_everything(brokers, hubs):
    """A plain broker and shared-responses = yes: what all this is about, and a proof that the spies can see."""
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(f"mqtt.url={broker.url}", "mqtt.shared-responses=yes").start().connected()
    profile = hub.create_profile()
    listening = [Client(broker, canary("spy"), version=version, subscribe=("#",)) for version in (4, 5)]
    device = Client(broker, "device")
    device.publish(REQUEST, json.dumps(profile.request("device")), 1)
    token = guard(broker, hub, device.answers()[0])
    for spy in listening:
        spy.settle()
        assert token.encode() in held(spy) and profile.secret.encode() in held(spy)
        spy.close()
    device.close()


def test_response_topics_go_nowhere_but_to_their_client(brokers, hubs):
    setup = SETUPS[2]
    broker = brokers(configuration=shipped(setup.configuration), users=USERS | setup.users)
    broker, hub, profile = start(broker, hubs, setup)
    listening = spies(setup, broker, "private/news")
    attacker = setup.device(broker, "attacker")
    for target in ("private/news", "#", f"{REQUEST}/x", REQUEST, "$SYS/x", "provisioned/a/b", RESPONSE + "/a"):
        properties = Properties(PacketTypes.PUBLISH)
        try:
            properties.ResponseTopic = target
        except Exception:  # paho refuses wildcards by itself in some versions
            continue
        attacker.client.publish(REQUEST, json.dumps(profile.request(canary("name"))), 1, properties=properties)
    attacker.settle()
    device = setup.device(broker, "device")
    device.request(profile, "device")
    [answer] = device.answers()
    guard(broker, hub, answer)
    assert device.received[0].properties.CorrelationData == b"device"
    for spy in listening:
        spy.settle()
        assert b"credentialsValue" not in held(spy)
        spy.close()
    device.close()
    attacker.close()


@pytest.mark.parametrize("configuration", ("nearhub.conf", "acl.conf", "mqtt5.conf"))
def test_it_starts_where_debian_includes_it(brokers, configuration):
    """Behind Debian's own mosquitto.conf, which includes /etc/mosquitto/conf.d."""
    broker = brokers(configuration=(
        "persistence true\npersistence_location DIRECTORY/\nlog_dest file DIRECTORY/mosquitto.log\n"
        "include_dir DIRECTORY/conf.d\n"
    ))  # fmt: skip
    broker.port = free_port()
    included = shipped(configuration).replace("PORT", str(broker.port)).replace("DIRECTORY", str(broker.directory))
    (broker.directory / "conf.d").mkdir()
    (broker.directory / "conf.d" / configuration).write_text(included)
    broker.start()
    log = (broker.directory / "mosquitto.log").read_text()
    assert "Error" not in log and "Warning: ACL" not in log, log


@pytest.mark.parametrize("setup", [PerClient()], ids=["acl.conf"])
def test_nearhub_provision_has_the_password_that_the_user_needs(site):
    """It could not ask at a broker set up as the README says."""
    broker, hub, profile = site
    files = ["--key-file", hub.file("key", profile.key), "--secret-file", hub.file("secret", profile.secret)]
    ask = ["provision", "--mqtt", broker.url, "--mqtt-topic-suffix", "meter-1", "--name", "meter-1", "--json", *files]
    refused = hub.cli(*ask)
    assert refused.code == 1 and "--mqtt-password-file" in refused.err and "password" in refused.err, refused
    password = ["--mqtt-password-file", hub.file("password", "devices-password\n")]
    run = hub.cli(*ask, *password)
    assert guard(broker, hub, run.json) == hub.credentials("meter-1")["credentialsId"]
    assert hub.cli("provision", "--http", hub.url, *files, *password).code == 64


# The README


def readme_blocks() -> list[str]:
    section = (REPOSITORY / "README.md").read_text().split("## Which broker set-up do I need?")[1].split("\n## ")[0]
    return re.findall(r"```\n(.*?)```", section, re.DOTALL)


def test_the_readme_shows_what_is_shipped():
    """Each configuration in the README is the file that it names, without comments."""
    blocks = dict(block[2:].split("\n", 1) for block in readme_blocks() if block.startswith("# /"))
    assert set(blocks) == {f"/etc/mosquitto/{name}" for name in (
        "conf.d/nearhub.conf", "conf.d/acl.conf", "nearhub.acl", "conf.d/mqtt5.conf", "mqtt5.acl")}  # fmt: skip
    for path, text in blocks.items():
        file = (SHIPPED / path.rsplit("/", 1)[1]).read_text()
        lines = [line for line in file.splitlines() if line and not line.startswith("#")]
        assert text.splitlines() == lines, path


@setups
def test_the_readmes_commands_work(setup, brokers, hubs):
    """The hub's password made as the README says, its [mqtt], and one request by hand."""
    blocks = readme_blocks()
    [make_password] = [block for block in blocks if block.startswith("umask")]
    [section] = [block for block in blocks if block.startswith("[mqtt]")]
    by_hand = [block for block in blocks if block.startswith("mosquitto_rr")][SETUPS.index(setup)]

    broker = brokers(configuration=shipped(setup.configuration))
    script = make_password.replace("/etc/nearhub", str(broker.directory)).replace(
        "/etc/mosquitto/nearhub.pw", str(broker.password_file)
    )
    script = re.sub(r"^chown .*\n", "", script, flags=re.MULTILINE)
    subprocess.run(["bash", "-euc", script], check=True, cwd=broker.directory)
    if setup.password:
        subprocess.run(["mosquitto_passwd", "-b", broker.password_file, "provision", setup.password], check=True)
    broker.guard((broker.directory / "mqtt.password").read_text().strip())
    broker.start()
    section = section.replace("mqtt://127.0.0.1", broker.url).replace("/etc/nearhub", str(broker.directory))
    hub = hubs(*setup.settings)
    hub.configuration.write_text(hub.configuration.read_text() + "\n" + section)
    hub.start().connected()
    request = hub.file("request.json", json.dumps(hub.create_profile().request("meter-1")))
    command = by_hand.replace("PASSWORD", setup.password or "").replace("request.json", str(request))
    command = command.replace("mosquitto_rr", f"mosquitto_rr -p {broker.port} -W 10")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=True)
    assert guard(broker, hub, json.loads(done.stdout)) == hub.credentials("meter-1")["credentialsId"]
