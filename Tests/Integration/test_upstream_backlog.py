"""Upstream is away while thousands of devices come, or brokers and hubs die in between: nothing is missing afterwards.

NEARHUB_KILL_ROUNDS says how often hubs are killed (default 30).
"""

import collections
import itertools
import os
import random
import threading
import time

import pytest

import upstream
from harness import PROVISION, eventually, exchange
from thingsboard import Behaviour
from upstream import Observer, provision_many, retained, settings, settled, shown

ROUNDS = int(os.environ.get("NEARHUB_KILL_ROUNDS", "30"))
MEBIBYTE = 1 << 20
MANY = 20_000
NO_LIMITS = ["max_queued_messages 0", "max_queued_bytes 0"]


def in_effect(broker, hub):
    """What the broker keeps is what the hub has: every device, in its newest state, and no other."""
    here = {device: (one["seq"], one["device"]["name"]) for device, one in upstream.written(hub).items()}
    there = {device: (one["seq"], one["name"]) for device, one in retained(broker).items() if "name" in one}
    missing, strange = here.keys() - there.keys(), there.keys() - here.keys()
    assert not missing and not strange, f"{len(missing)} are missing, {len(strange)} are not known"
    assert here == there


def persistent(brokers, **options):
    """A broker that writes its database file only when it is told to: what came since is lost by kill -9."""
    broker = brokers(NO_LIMITS, plugin=False, anonymous=True, **options)
    broker.lines += ["persistence true", f"persistence_location {broker.directory}/", "autosave_interval 0"]
    return broker.start()


@pytest.mark.timeout(600)
def test_twenty_thousand_devices_while_upstream_is_away(hubs, brokers):
    broker = brokers(NO_LIMITS, plugin=False, anonymous=True).start()
    broker.stop()
    beside = hubs("log.level=info").start()
    hub = hubs("log.level=info", *settings("journal", broker.url)).start()
    memory = {}
    for label, one in (("off", beside), ("on", hub)):
        profile = one.create_profile(maxDevices=MANY * 2)
        provision_many(one, profile, 1000, "first")
        before = one.anonymous_memory
        provision_many(one, profile, MANY - 1000)
        memory[label] = one.anonymous_memory - before
    assert shown(hub)["pending"] == MANY
    broker.start()
    began, peak = time.monotonic(), 0
    while shown(hub)["confirmed"] < MANY:
        peak = max(peak, hub.anonymous_memory)
        assert time.monotonic() - began < 180, shown(hub)
        time.sleep(0.05)
    took = time.monotonic() - began
    growth = max(peak, hub.anonymous_memory) - before
    settled(hub, confirmed=MANY)
    print(
        f"\n19,000 devices: {memory['off'] // 1024} kB without an upstream, {memory['on'] // 1024} kB with a backlog, "
        f"{growth // 1024} kB at most while it drained; drained in {took:.1f} s with the back-off, {MANY / took:.0f}/s"
    )
    in_effect(broker, hub)
    assert memory["on"] - memory["off"] < MEBIBYTE
    assert growth - memory["off"] < 2 * MEBIBYTE


@pytest.mark.timeout(600)
def test_a_broker_that_forgets_what_it_acknowledged(hubs, brokers):
    broker = persistent(brokers)
    hub = hubs("log.level=info", *settings("journal", broker.url)).start()
    profile = hub.create_profile(maxDevices=MANY * 2)
    saved = MANY * 3 // 10
    provision_many(hub, profile, saved, "a")
    settled(hub, confirmed=saved, seconds=120)
    broker.save()
    eventually(lambda: broker.holds(f'"a{saved - 1}"'), 20)
    provision_many(hub, profile, MANY // 2, "b")
    eventually(lambda: shown(hub)["confirmed"] > MANY // 2, 60)
    broker.kill9()
    provision_many(hub, profile, MANY - saved - MANY // 2, "c")
    broker.start()
    settled(hub, confirmed=MANY, seconds=120)
    in_effect(broker, hub)
    # And one that forgets everything, while the hub is away, too.
    hub.stop()
    broker.kill9()
    broker.database_file.unlink()
    broker.start()
    hub.start()
    eventually(lambda: shown(hub)["state"] == "connected", 20)
    settled(hub, confirmed=MANY, seconds=120)
    in_effect(broker, hub)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2))
def test_brokers_killed_while_everything_moves(hubs, brokers, seed):
    chance = random.Random(seed)
    broker = persistent(brokers)
    hub = hubs("log.level=info", *settings("journal", broker.url)).start()
    profile = hub.create_profile(maxDevices=MANY)
    for round in range(5):
        eventually(lambda: shown(hub)["state"] == "connected", 60)
        provision_many(hub, profile, 600, f"r{round}-")
        if chance.random() < 0.5:
            broker.save()
        time.sleep(chance.uniform(0, 0.3))
        broker.kill9()
        provision_many(hub, profile, 100, f"s{round}-")
        broker.start()
    settled(hub, confirmed=3500, seconds=120)
    in_effect(broker, hub)


class Load:
    """Devices that come, and change, until the hub dies."""

    def __init__(self, hub, profile, label: str):
        self.hub, self.profile, self.label = hub, profile, label
        self.answered: list[str] = []
        self.changed = 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(one,)) for one in (self._provision, self._change)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)

    def _run(self, act):
        for number in itertools.count():
            if self.over.is_set():
                return
            try:
                act(number)
            except (OSError, ValueError):  # the hub is dead: what it had not answered does not count
                if self.over.wait(0.01):
                    return
            except Exception:  # http.client's, of a connection that broke off
                self.over.wait(0.01)

    def _provision(self, number):
        connection = self.hub.connect()
        name = f"{self.label}-{number}"
        try:
            if exchange(connection, "POST", PROVISION, self.profile.request(name)).json["status"] == "SUCCESS":
                self.answered.append(name)
        finally:
            connection.close()

    def _change(self, number):
        if not self.answered:
            return time.sleep(0.005)
        device = self.hub.device(random.choice(self.answered))
        path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/attributes/SERVER_SCOPE"
        self.hub.ask("POST", path, {"serial": number})
        self.changed += 1


def killed_again_and_again(hub, profile, arrived) -> set[str]:
    """Kills the hub ROUNDS times under load; the names of devices that were answered.

    `arrived` counts what came upstream: a kill before anything was sent proves nothing.
    """
    answered: set[str] = set()
    busy = 0
    for round in range(ROUNDS):
        before = arrived()
        load = Load(hub, profile, f"k{round}")
        time.sleep(random.uniform(0.1, 1.5))  # the cursor is written once a second
        hub.kill9()
        busy += arrived() > before
        load.stop()
        answered |= set(load.answered)
        hub.start()
    print(f"\n{ROUNDS} kills, {busy} of them while devices went upstream")
    assert busy > ROUNDS / 2
    return answered


@pytest.mark.timeout(600)
def test_hubs_killed_while_they_send(hubs, brokers):
    broker = brokers(NO_LIMITS, plugin=False, anonymous=True).start()
    hub = hubs("log.level=info", *settings("journal", broker.url)).start()
    profile = hub.create_profile(maxDevices=MANY)
    observer = Observer(broker)
    hub.provision(profile.request("first"))
    eventually(lambda: observer.records["cursor"], 20)  # else each start would wait for one for two seconds
    answered = killed_again_and_again(hub, profile, lambda: observer.arrivals)
    known = upstream.written(hub)
    assert answered <= {one["device"]["name"] for one in known.values()}
    settled(hub, confirmed=len(known), seconds=60)
    in_effect(broker, hub)
    eventually(lambda: observer.devices.keys() >= known.keys(), 20)
    observer.close()
    repeated = in_order(observer)
    print(f"{len(known)} devices, {observer.arrivals} messages, {repeated} of them again")
    assert ROUNDS < 30 or len(known) > 300


def in_order(observer) -> int:
    """Between two starts of the hub, the states of a device come in order; how many states came more than once."""
    newest: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    repeated = 0
    for topic, record in observer.log:
        if topic == "status" and record.payload and record.json.get("online"):
            newest.clear()
        if not topic.startswith("devices/") or not record.payload:
            continue
        seq = record.json["seq"]
        assert seq >= newest.get(topic, 0), f"{topic}: {seq} after {newest[topic]}"
        newest[topic] = seq
        repeated += (topic, seq) in seen
        seen.add((topic, seq))
    return repeated


@pytest.mark.timeout(600)
def test_hubs_killed_while_they_provision_upstream(hubs, thingsboards):
    server = thingsboards().start()
    hub = hubs("log.level=info", *settings("thingsboard", server.url, rate="unlimited")).start()
    profile = hub.create_profile("meters", maxDevices=MANY)
    server.tenant.add_profile("meters", profile.key, profile.secret)
    server.always = lambda request: Behaviour(delay=0.03)  # so that there is always something in flight
    answered = killed_again_and_again(hub, profile, lambda: len(server.requests))
    server.always = lambda request: Behaviour()
    known = upstream.credentials(hub)
    assert answered <= known.keys()
    now = settled(hub, seconds=120)
    assert {name: one.id for name, one in server.tenant.devices.items()} == known
    assert collections.Counter(server.tenant.created).most_common(1)[0][1] == 1
    print(f"{len(known)} devices, {len(server.requests)} requests")
    assert now["conflict"] == 0 and server.most_open == 1
    assert now["confirmed"] == len(known)
    # Changed attributes do not travel by this dialect, and no device of it is refused for its provisioning.
    assert not [one for one in upstream.rows(hub, "refused") if one["reason"] == "FAILURE_UPSTREAM"]
