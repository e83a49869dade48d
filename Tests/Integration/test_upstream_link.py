"""The link to the upstream breaks or hangs: `status` says why and since when, the log says it once, devices notice
nothing, and what was made in the meantime arrives when it works again."""

import itertools
import os
import random
import re
import time

import pytest

import upstream
from broker import free_port
from devices import MQTTDevice
from fake_broker import CONNACK, FakeBroker, answer
from harness import eventually
from proxy import BlackHoleDNS
from upstream import Observer, away, connected, percentile, provision_many, retained, settings, settled, shown, works

MEBIBYTE = 1 << 20
STANZA = re.compile(r"upstream", re.I)


def log_lines(hub) -> list[str]:
    """What the hub's log says of the upstream, at level info and above."""
    return [one for one in hub.stderr.splitlines() if STANZA.search(one) and not re.match(r"<7>", one)]


# Away


def test_without_a_dialect_there_is_no_upstream(hub):
    now = shown(hub)
    assert now["dialect"] == now["state"] == "off"


def test_an_upstream_that_is_away_at_boot_is_found_later(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True)
    broker.port = free_port()
    hub = hubs(*settings("journal", broker.url)).start()
    profile = hub.create_profile()
    now = away(hub)
    assert "refused" in now["reason"].lower() and now["state"] == "waiting" and now["nextTry"] is not None
    for _ in range(20):
        works(hub, profile)
    since = away(hub)["since"]
    time.sleep(2)
    later = away(hub)
    assert later["since"] == since or later["since"] > since + 500  # tries that fail in between do not begin it anew
    assert len(log_lines(hub)) <= 3, log_lines(hub)  # once, not at each try
    broker.start()
    now = settled(hub, confirmed=20, seconds=40)
    assert now["state"] == "connected" and now["reason"] is None


def test_a_broker_that_comes_back_has_everything(hubs, open_broker):
    hub = hubs(*settings("journal", open_broker.url)).start()
    profile = hub.create_profile()
    connected(hub)
    count = 0
    for end in (open_broker.kill9, open_broker.stop):
        works(hub, profile)
        settled(hub, confirmed=count + 1)
        end()
        away(hub)
        works(hub, profile)
        count += 2
        open_broker.start()
        settled(hub, confirmed=count, seconds=40)
        assert len(retained(open_broker)) == count


def test_a_hub_stops_in_time_whatever_upstream_does(hubs, proxies, open_broker):
    link = proxies(open_broker.port)
    hub = hubs(*settings("journal", link.url)).start()
    profile = hub.create_profile()
    works(hub, profile)
    settled(hub, confirmed=1)
    link.stall()
    works(hub, profile)
    hub.stop()  # judged when the hub is closed: it may take STOP_SECONDS
    hub.start().stop()
    link.refuse()
    hub.start().stop()
    for host in ("192.0.2.1", "no-such-host.invalid"):
        hub.settings = settings("journal", f"mqtt://{host}")
        hub.start().stop()


def test_a_wrong_password_is_named_and_not_shown(hubs, brokers):
    broker = brokers(plugin=False).start()
    hub = hubs()
    file = hub.file("password", "wrongPasswordOfTheHub")
    hub.guard("wrongPasswordOfTheHub", broker.hub_password)
    login = {"username": "nearhub", "password_file": file, "allow_plaintext": "yes"}
    hub.settings = settings("journal", broker.url, **login)
    hub.start()
    profile = hub.create_profile()
    now = away(hub)
    assert re.search("auth|password", now["reason"].lower())
    works(hub, profile)
    time.sleep(3)
    assert len(log_lines(hub)) <= 4, log_lines(hub)
    file.write_text(broker.hub_password)
    hub.restart()
    settled(hub, confirmed=1)


def test_what_the_brokers_rules_forbid_is_refused_by_name(hubs, brokers):
    broker = brokers(plugin=False, users={"reader": "passwordOfReader"})
    may = ["read nearhub/#", "write nearhub/+/status", "write nearhub/+/cursor"]
    rules = broker.file("acl", "\n".join(["user reader", *(f"topic {one}" for one in may), ""]))
    broker.lines = [f"acl_file {rules}"]
    broker.start()
    hub = hubs()
    password = hub.file("password", "passwordOfReader")
    hub.guard("passwordOfReader")
    hub.settings = settings("journal", broker.url, username="reader", password_file=password, allow_plaintext="yes")
    hub.start()
    profile = hub.create_profile()
    hub.provision(profile.request("boiler"))
    found = upstream.becomes(hub, "boiler", "refused")
    assert found["reason"] == "NOT_AUTHORISED"
    assert shown(hub)["state"] == "connected"


# Half-dead links


def test_a_link_that_is_cut_again_and_again(hubs, proxies, open_broker):
    link = proxies(open_broker.port)
    observer = Observer(open_broker)
    hub = hubs(*settings("journal", link.url)).start()
    profile = hub.create_profile()
    for number in range(8):
        connected(hub, 60)
        provision_many(hub, profile, 100, f"r{number}-")
        time.sleep(random.uniform(0, 0.05))
        link.cut()
    settled(hub, confirmed=800, seconds=90)
    observer.close()
    assert {one["name"] for one in retained(open_broker).values()} == {one["name"] for one in hub.devices()}
    assert link.connections >= 4  # a cut that comes before the hub has noticed the last one ends none


def test_a_slow_link_carries_everything_in_the_end(hubs, proxies, open_broker):
    link = proxies(open_broker.port)
    link.rate, link.delay = 40_000, 0.1
    hub = hubs(*settings("journal", link.url)).start()
    provision_many(hub, hub.create_profile(), 300)
    settled(hub, confirmed=300, seconds=90)
    assert len(retained(open_broker)) == 300


def test_a_slow_link_to_thingsboard(hubs, proxies, thingsboards):
    server = thingsboards().start()
    link = proxies(server.port)
    link.rate, link.delay = 20_000, 0.05
    hub = hubs(*settings("thingsboard", link.url, rate="unlimited")).start()
    profile = hub.create_profile("meters")
    server.tenant.add_profile("meters", profile.key, profile.secret)
    provision_many(hub, profile, 100)
    settled(hub, confirmed=100, seconds=90)
    assert len(server.tenant.devices) == 100 and server.most_open == 1


@pytest.mark.slow
def test_a_black_hole_is_noticed_by_silence(hubs, proxies, open_broker):
    link = proxies(open_broker.port)
    hub = hubs(*settings("journal", link.url)).start()
    profile = hub.create_profile()
    works(hub, profile)
    settled(hub, confirmed=1)
    link.stall()
    began = time.monotonic()
    for _ in range(50):
        works(hub, profile)
    now = away(hub, 60)
    took = time.monotonic() - began
    print(f"\nnoticed after {took:.1f} s: {now['reason']}")
    assert took < 45  # two times and a half the keep-alive of 15 s
    link.resume()
    link.cut()
    settled(hub, confirmed=51, seconds=60)
    assert len(retained(open_broker)) == 51


class Pair:
    """Two hubs that are measured in turn, one without an upstream: whatever else slows this machine slows both."""

    ROUNDS, DEVICES = 5, 600

    def __init__(self, hub, beside):
        self.profiles = {one: one.create_profile(maxDevices=10**6) for one in (hub, beside)}
        self.hub, self.beside = hub, beside
        self.numbers = itertools.count()

    def compare(self, kind: str, factor: float = 2):
        """Fails when the hub with an upstream takes longer than the other one by a factor, each in its best round.

        The median is compared: a single slow sync moves it in neither, anything that holds the loop up moves it in
        every round. The p99 is for people.
        """
        figures: dict = {self.hub: [], self.beside: []}
        for _ in range(self.ROUNDS):
            for one, found in figures.items():
                waited = provision_many(one, self.profiles[one], self.DEVICES, f"{next(self.numbers)}-", connections=4)
                found.append((percentile(waited.values(), 0.5) * 1000, percentile(waited.values()) * 1000))
        (median, p99), (median_beside, p99_beside) = (map(min, zip(*figures[one])) for one in (self.hub, self.beside))
        print(
            f"\nprovisioning beside {kind} upstream, ms: median {median:.2f}, p99 {p99:.2f}; "
            f"without one: median {median_beside:.2f}, p99 {p99_beside:.2f}"
        )
        assert median < factor * median_beside, kind


def test_provisioning_beside_a_bad_upstream_is_as_fast_as_beside_none(hubs, proxies, open_broker):
    link = proxies(open_broker.port)
    beside = hubs("log.level=info").start()
    hub = hubs(*settings("journal", link.url), "log.level=info").start()
    pair = Pair(hub, beside)
    connected(hub)
    pair.compare("a good", factor=4)  # hub, broker and test share the processors: each device is work for all of them
    link.stall()
    pair.compare("a stalled")
    link.resume()
    link.rate = 5000
    pair.compare("a slow")
    link.refuse()
    away(hub)
    pair.compare("a refusing")


@pytest.mark.skipif(bool(BlackHoleDNS.why_not()), reason=str(BlackHoleDNS.why_not()))
def test_dns_that_never_answers_holds_nobody_up(hubs):
    resolver = BlackHoleDNS()
    try:
        beside = hubs("log.level=info").start()
        hub = hubs(*settings("journal", "mqtt://broker.example.org"), "log.level=info")
        hub.limits = resolver.wrapper
        hub.start()
        assert shown(hub)["state"] in ("connecting", "waiting")
        eventually(lambda: resolver.questions)
        Pair(hub, beside).compare("a nameless")
        assert shown(hub)["confirmed"] == 0
        hub.stop()  # may take STOP_SECONDS, while the thread still asks
    finally:
        resolver.close()


def test_another_client_of_the_same_id_is_named(hubs, open_broker):
    hub = hubs(*settings("journal", open_broker.url)).start()
    profile = hub.create_profile()
    connected(hub)
    client_id = "nearhub-" + shown(hub)["hub"][:16]
    seen = set()
    for _ in range(4):
        other = MQTTDevice(open_broker, client_id=client_id, version=5)
        eventually(lambda: (now := shown(hub))["reason"] and seen.add(now["reason"]) is None, 10)
        other.close()
        connected(hub, 60)
    assert any(re.search("another client|taken over", one, re.I) for one in seen), seen
    works(hub, profile)
    settled(hub, confirmed=1)


@pytest.mark.parametrize("lie", [
    answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), answer(bytes(range(256)) * 64), answer(b"\x20\xff\xff\xff\xff\xff"),
    answer(CONNACK, b"\x00" * 4096), answer(CONNACK, CONNACK), answer(), answer(b"\x20\x03\x00\x87\x00"),
    answer(b"\x20\x02\x00\x05"), answer(CONNACK, b"\x40\x02\x00\x01" * 10_000),
    answer(CONNACK, b"\x90\x04\x00\x01\x00\x87"),
    answer(CONNACK, b"\x32\xff\xff\xff\x7f", flood=32), answer(b"\x20\xff\xff\xff\x7f", flood=32),
], ids=[
    "http", "noise", "length", "zeros", "twice", "nothing", "refused", "3.1.1-connack", "pubacks", "suback-refused",
    "256-MiB-flood", "256-MiB-connack",
])  # fmt: skip
@pytest.mark.parametrize("dialect", ["journal", "thingsboard"])
def test_an_upstream_that_lies_does_no_harm(hubs, lie, dialect):
    with FakeBroker(lie) as fake:
        hub = hubs(*settings(dialect, fake.url), data_limit=192 * MEBIBYTE).start()
        profile = hub.create_profile()
        before = hub.peak_memory
        works(hub, profile)
        eventually(lambda: fake.connections >= 2 or fake.over.is_set(), 30)
        works(hub, profile)
        assert hub.peak_memory - before < 16 * MEBIBYTE
        assert shown(hub)["confirmed"] == 0


def test_who_the_hub_is_does_not_change(hubs, open_broker):
    hub = hubs(*settings("journal", open_broker.url)).start()
    connected(hub)
    identity = shown(hub)["hub"]
    assert re.fullmatch("[0-9a-f]{32}", identity)
    hub.restart()
    hub.kill9()
    hub.start()
    connected(hub)
    assert shown(hub)["hub"] == identity
    assert set(re.findall(r"as (nearhub-\S+)", open_broker.log)) == {f"nearhub-{identity[:16]}"}


def test_two_hubs_are_two(hubs, open_broker):
    made = [hubs(*settings("journal", open_broker.url)).start() for _ in range(2)]
    for number, hub in enumerate(made):
        hub.provision(hub.create_profile().request(f"d{number}"))
    for hub in made:
        settled(hub, confirmed=1)
    assert shown(made[0])["hub"] != shown(made[1])["hub"]
    assert len(retained(open_broker)) == 2


def test_threads_end_with_the_connection(hubs, proxies, open_broker):
    """Each try has a thread of its own at most, and none is left behind."""
    link = proxies(open_broker.port)
    hub = hubs(*settings("journal", link.url)).start()
    connected(hub)

    def threads():
        return len(os.listdir(f"/proc/{hub.pid}/task")), len(os.listdir(f"/proc/{hub.pid}/fd"))

    before = threads()
    for _ in range(10):
        link.cut()
        eventually(lambda: link.connections, 1)
        connected(hub, 60)
    eventually(lambda: threads() <= before, 10)
