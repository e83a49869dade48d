"""What is recorded: the real daemon under devices and an administrator, through clean stops and kills."""

from __future__ import annotations

import http.client
import random
import threading
import time

import faultline
from coap import Peer
from harness import PROVISION, Hub, exchange
from powercut import Recording
from promises import Promise

HTTP_DEVICES, COAP_DEVICES = 5, 2
PAUSE = 0.25  # seconds, between two requests of one device, at most: logs stay short, and recoveries quick


class Site:
    """A hub that is recorded, its profiles, and everything that anybody was told."""

    def __init__(self, hub: Hub, rules: str = "", seed: int = 1):
        self.hub = hub
        self.dice = random.Random(seed)
        self.trace = hub.directory / "trace"
        hub.environment |= faultline.environment(hub.state, self.trace, rules, seed)
        self.before = faultline.snapshot(hub.state)
        self.told: list[tuple[int, Promise]] = []
        self.answered: dict[str, tuple[str, str]] = {}
        self.refused: list[dict] = []
        self.profiles: list = []
        self._number = 0

    def recording(self) -> Recording:
        """What was recorded; the daemon has ended."""
        assert self.hub.process is None
        return Recording(self.trace, self.before, faultline.snapshot(self.hub.state), self.told)

    # An administrator

    def _tell(self, kind: str, identity: str, name: str, credentials: str = ""):
        self.told.append((time.monotonic_ns(), Promise(kind, identity, name, credentials)))

    def add_profile(self):
        """Makes a profile, which counts once its answer is there."""
        self._number += 1
        profile = self.hub.create_profile(f"P{self._number}", maxDevices=1_000_000)
        self._tell("profile", profile.id, profile.name)
        self.profiles.append(profile)
        return profile

    def change_profiles(self):
        """Makes a profile nobody uses, and deletes it again."""
        profile = self.add_profile()
        self.profiles.remove(profile)
        self._tell("profile ending", profile.id, profile.name)
        self.hub.ask("DELETE", f"/api/deviceProfile/{profile.id}")
        self._tell("profile deleted", profile.id, profile.name)

    def add_device(self, name: str):
        """Registers a device as an operator does."""
        device = self.hub.add_device(name, self.profiles[0])
        credentials = self.hub.credentials(name)["credentialsId"]
        self.hub.guard(credentials)
        self._tell("device", device["id"]["id"], name, credentials)

    # Devices

    def load(self, seconds: float, label: str, administrates: bool = True):
        """Devices provision, repeat and collide on two faces; meanwhile an administrator changes profiles."""
        self._over = threading.Event()
        ways = [self._over_http] * HTTP_DEVICES + [self._over_coap] * COAP_DEVICES
        threads = [
            threading.Thread(target=way, args=(f"{label}{number}", self.dice.random()))
            for number, way in enumerate(ways)
        ]
        for thread in threads:
            thread.start()
        try:
            end = time.monotonic() + seconds
            while administrates and time.monotonic() < end:
                self.change_profiles()
                self.add_device(f"{label}-operator-{self._number}")
                time.sleep(seconds / 6)
            time.sleep(max(0.0, end - time.monotonic()))
        finally:
            self.finish = lambda: self._join(threads)
        return self

    def _join(self, threads):
        self._over.set()
        for thread in threads:
            thread.join()

    def _requests(self, label: str, seed: float):
        """New devices, one in five of them asks again; every now and then a name that others want too."""
        dice, number, last = random.Random(seed), 0, None
        while not self._over.is_set():
            profile = self.profiles[number % len(self.profiles)]
            if last is not None and dice.random() < 0.2:
                yield last
            elif dice.random() < 0.1:
                yield self.profiles[0].request(f"wanted-{dice.randrange(5)}")
            else:
                number += 1
                last = profile.request(f"{label}-{number}-{'x' * dice.randrange(120)}")
                yield last
            time.sleep(dice.uniform(0, PAUSE))

    def _over_http(self, label: str, seed: float):
        connection = http.client.HTTPConnection(*self.hub.address, timeout=20)
        for request in self._requests(label, seed):
            try:
                self._take(request, exchange(connection, "POST", PROVISION, request).json)
            except (OSError, http.client.HTTPException):
                connection.close()
                self._over.wait(0.02)
        connection.close()

    def _over_coap(self, label: str, seed: float):
        with Peer(self.hub, timeout=2) as peer:
            for request in self._requests(label, seed):
                try:
                    self._take(request, peer.ask(request).json)
                except (OSError, ValueError):
                    self._over.wait(0.02)

    def _take(self, request: dict, answer: dict):
        if answer.get("status") != "SUCCESS":
            self.refused.append(answer)
            return
        name, told = request["deviceName"], (answer["deviceId"], answer["credentialsValue"])
        assert self.answered.setdefault(name, told) == told, f"{name} got two identities"
        self.hub.guard(told[1])


def record(hub: Hub, rules: str = "", seed: int = 1, seconds: float = 1.2) -> Site:
    """A hub's whole life: its first start, a clean stop, a kill under load, a recovery, and a clean stop again."""
    site = Site(hub, rules, seed)
    hub.start()
    site.add_profile()
    site.add_profile()
    site.load(seconds, "a").finish()
    time.sleep(0.1)
    hub.restart()
    site.load(seconds, "b")
    hub.kill9()
    site.finish()
    hub.start()
    site.load(seconds, "c").finish()
    hub.stop()
    return site


def record_until_it_stops(hub: Hub, rules: str, seed: int = 1, seconds: float = 20) -> tuple[Site, int]:
    """A hub whose disk fails under load: its exit status. Then it starts again on a disk that works."""
    site = Site(hub, rules, seed)
    hub.start()
    site.add_profile()
    site.load(0.3, "a", administrates=False)
    try:
        code = hub.process.wait(seconds)
    finally:
        site.finish()
    hub.process = None
    return site, code
