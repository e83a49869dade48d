"""Everything at once, by chance: a server that misbehaves in every way, a link that is cut, hubs that are killed.

NEARHUB_CHAOS_SEEDS says which runs (default "1 2"); each prints what it did, so that a run can be had again.
"""

import os
import random
import time

import pytest

import upstream
from harness import eventually
from thingsboard import Behaviour
from upstream import FAST, provision_many, settings, settled, shown

SEEDS = os.environ.get("NEARHUB_CHAOS_SEEDS", "1 2").split()
GARBAGE = [b"", b"{", b"[]", b"null", b"\xff" * 40, b'{"status":"SUCCESS"}', b'{"status":7}', b"x" * 60_000]
KINDS = ["token", "token", "token", "own token", "basic", "user only"]


class Chaos:
    """What a server does with each request, by a generator of its own."""

    def __init__(self, seed: str, server):
        self.random = random.Random(seed)
        self.server = server
        self.odd = 0
        self.calm = False
        self.early = self.random.random() < 0.5

    def behave(self, request) -> Behaviour:
        chance = self.random
        if self.calm or chance.random() < 0.5:
            return Behaviour(early=self.early)
        self.odd += 1
        delay, copies = chance.choice([0, 0, 0.01, 0.05, 0.3]), chance.choice([1, 1, 1, 2, 3])
        close = chance.choice([None, None, "before", "after"])
        garbage = chance.choice(GARBAGE) if chance.random() < 0.4 else None
        # What it has not done it does not refuse either: FAILURE of a device that is not there is a refusal.
        apply = chance.random() < 0.7 or (garbage is None and close != "before")
        return Behaviour(
            apply=apply, delay=delay, copies=copies, payload=garbage, close=close, early=self.early,
            late=chance.random() < 0.3, again=chance.choice([None, None, 0.02, 0.1]),
        )  # fmt: skip


def members(kind: str, name: str) -> dict:
    """What a device brings of its own."""
    own = {
        "own token": {"token": f"token-of-{name}"},
        "basic": {"credentialsType": "MQTT_BASIC", "clientId": f"c-{name}", "username": f"u-{name}", "password": "p"},
        "user only": {"credentialsType": "MQTT_BASIC", "username": f"v-{name}", "password": "p"},
    }
    return own.get(kind, {})


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", SEEDS)
def test_each_device_arrives_once_with_its_credentials(hubs, thingsboards, proxies, seed):
    chance = random.Random(seed)
    server = thingsboards(lifetime=chance.choice([0.1, 0.5, 60]), suback=chance.random() < 0.5).start()
    link = proxies(server.port)
    chaos = Chaos(seed, server)
    server.always = chaos.behave
    hub = hubs("log.level=info", *settings("thingsboard", link.url, **FAST, sessions=chance.randint(1, 8))).start()
    profile = hub.create_profile("meters")
    server.tenant.add_profile("meters", profile.key, profile.secret)
    for round in range(8):
        provision_many(hub, profile, 15, f"r{round}-")
        for number in range(5):
            name = f"s{round}-{number}"
            hub.provision(profile.request(name, **members(chance.choice(KINDS), name)))
        act = chance.choice(["cut", "kill", "crash", "slow", "wait"])
        if act == "cut":
            link.cut()
        elif act == "kill":
            hub.kill9()
            hub.start()
        elif act == "crash":
            server.drop()
        elif act == "slow":
            link.delay = chance.choice([0, 0.02, 0.1])
        time.sleep(chance.uniform(0, 1))
    link.delay = 0
    time.sleep(3)
    chaos.calm = True
    now = settled(hub, seconds=200)
    print(f"\nseed {seed}: {len(server.requests)} requests, {chaos.odd} odd, {len(server.sessions)} sessions, {now}")
    assert now["confirmed"] == 160 and now["refused"] == now["conflict"] == 0
    assert {name: one.id for name, one in server.tenant.devices.items()} == upstream.credentials(hub)
    assert server.most_open == 1 and chaos.odd > 20
    eventually(lambda: shown(hub)["state"] == "connected", 60)
