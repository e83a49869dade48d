"""What is recorded: the real daemon under devices and an administrator, through clean stops and kills."""

from __future__ import annotations

import http.client
import pathlib
import random
import subprocess
import threading
import time

import faultline
from coap import Peer
from harness import PROVISION, Hub, eventually, exchange
from powercut import Recording
from promises import Promise
from thingsboard import Behaviour

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
        self.asked: dict[str, dict] = {}
        self.answered: dict[str, tuple[str, str]] = {}
        self.refused: list[dict] = []
        self.profiles: list = []
        self._number = 0
        self._loads: list[tuple[threading.Event, list[threading.Thread]]] = []

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
        over = threading.Event()
        ways = [self._over_http] * HTTP_DEVICES + [self._over_coap] * COAP_DEVICES
        threads = [
            threading.Thread(target=way, args=(over, f"{label}{number}", self.dice.random()), daemon=True)
            for number, way in enumerate(ways)
        ]
        self._loads.append((over, threads))
        for thread in threads:
            thread.start()
        try:
            end = time.monotonic() + seconds
            while administrates and time.monotonic() < end:
                self.change_profiles()
                self.add_device(f"{label}-operator-{self._number}")
                time.sleep(seconds / 6)
            time.sleep(max(0.0, end - time.monotonic()))
        except BaseException:
            self.finish()
            raise
        return self

    def finish(self):
        """Ends all load."""
        for over, threads in self._loads:
            over.set()
            for thread in threads:
                thread.join()
        self._loads = []

    def _requests(self, over: threading.Event, label: str, seed: float):
        """New devices, one in five of them asks again; every now and then a name that others want too."""
        dice, number, last = random.Random(seed), 0, None
        while not over.is_set():
            profile = self.profiles[number % len(self.profiles)]
            if last is not None and dice.random() < 0.2:
                request = last
            elif dice.random() < (0.1 if number else 0.5):  # some at once: upstream is told of few while this goes on
                request = self.profiles[0].request(f"wanted-{dice.randrange(5)}")
            else:
                number += 1
                request = last = profile.request(f"{label}-{number}-{'x' * dice.randrange(120)}")
            self.asked[request["deviceName"]] = request
            yield request
            time.sleep(dice.uniform(0, PAUSE))

    def _over_http(self, over: threading.Event, label: str, seed: float):
        connection = http.client.HTTPConnection(*self.hub.address, timeout=20)
        for request in self._requests(over, label, seed):
            try:
                self._take(request, exchange(connection, "POST", PROVISION, request).json)
            except (OSError, http.client.HTTPException):
                connection.close()
                over.wait(0.02)
        connection.close()

    def _over_coap(self, over: threading.Event, label: str, seed: float):
        with Peer(self.hub, timeout=2) as peer:
            for request in self._requests(over, label, seed):
                try:
                    self._take(request, peer.ask(request).json)
                except (OSError, ValueError):
                    over.wait(0.02)

    def ask_again(self):
        """Whoever asked and got no answer does again; those first of whom there is something in the log."""
        log = (self.hub.state / "devices.jsonl").read_bytes()
        left = [name for name in self.asked if name not in self.answered]
        for name in sorted(left, key=lambda name: log.find(f'"name":"{name}"'.encode()) < 0):
            self._take(self.asked[name], self.hub.provision(self.asked[name]).json)

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


def record_until_it_stops(hub: Hub, rules: str, seed: int = 1, seconds: float = 8) -> tuple[Site, int | None]:
    """A hub whose disk fails under load, and the status with which it ends; None if it does not, and is killed."""
    site = Site(hub, rules, seed)
    hub.start()
    site.add_profile()
    site.load(0.3, "a", administrates=False)
    try:
        code = hub.process.wait(seconds)
        hub.process = None
    except subprocess.TimeoutExpired:
        code = None
        hub.kill9()
    finally:
        site.finish()
    return site, code


def record_second_start(hub: Hub, fault: str, seed: int = 1) -> Site:
    """A hub that ends in a sync of devices, and its next start, at which whoever got no answer asks again; a kill."""
    site = Site(hub, seed=seed)
    rules = hub.directory / "rules"
    rules.write_text("")
    hub.environment["FAULT_RULES_FILE"] = str(rules)
    hub.start()
    site.add_profile()
    site.load(0.4, "a", administrates=False)
    rules.write_text(f"fdatasync/devices*:1:{fault}")
    hub.process.wait(10)
    hub.process = None
    site.finish()
    rules.write_text("# the disk works again")
    hub.start()
    site.ask_again()
    hub.kill9()
    return site


def record_command(hub: Hub, root: pathlib.Path, *arguments: str) -> Recording:
    """What a command of the command line does to the files below `root`; it must succeed."""
    trace, before = hub.directory / "trace-of-a-command", faultline.snapshot(root)
    run = hub.cli(*arguments, environment=faultline.environment(root, trace))
    assert run.code == 0, run
    ended = time.monotonic_ns(), Promise("command", "", arguments[0])
    return Recording(trace, before, faultline.snapshot(root), [ended])


def record_full_disk(hub: Hub, room: int, seed: int = 1) -> Site:
    """A hub whose disk takes no more bytes for a while, in the middle of its load, and then does again."""
    site = Site(hub, seed=seed)
    rules = hub.directory / "rules"
    rules.write_text("")
    hub.environment["FAULT_RULES_FILE"] = str(rules)
    hub.start()
    site.add_profile()
    site.load(0.5, "a").finish()
    rules.write_text(f"write/devices*:@{room}:ENOSPC")
    site.load(1.5, "b", administrates=False)
    rules.write_text("# the disk has room again")
    eventually(lambda: hub.provision(site.profiles[0].request("last")).json["status"] == "SUCCESS", 15)
    site.load(0.5, "c").finish()
    hub.stop()
    return site


def record_upstream(hub: Hub, server, profile_name: str = "P1", seed: int = 1) -> Site:
    """A hub below a ThingsBoard that does not take everybody, through a stop and two kills; notes what it was told."""
    site = Site(hub, seed=seed)
    server.always = lambda request: Behaviour(delay=0.2)  # so that some are always in flight
    hub.start()
    profile = site.add_profile()
    server.tenant.add_profile(profile_name, profile.key, profile.secret)
    for number in range(5):
        server.tenant.add_device(f"wanted-{number}", profile_name, token=f"somebodyElses{number}")
    for label, end in (("a", hub.stop), ("b", hub.kill9), ("c", hub.kill9)):
        site.load(1.5, label, administrates=False)
        time.sleep(0.8)  # the cursor is written once a second
        if end == hub.kill9:
            end()
            site.finish()
        else:
            site.finish()
            end()
        hub.start()
    time.sleep(2)
    hub.stop()
    for request in server.requests:
        for at in request.answered[:1]:
            kind = "took" if request.answer["status"] == "SUCCESS" else "refused"
            site.told.append((int(at * 1e9), Promise(f"upstream {kind}", "", request.name)))
    for session in server.sessions:  # a device that upstream has already may prove that it is the same
        if session.device:
            site.told.append((int(session.at * 1e9), Promise("upstream took", "", session.device.name)))
    return site


def record_compaction(hub: Hub, seed: int = 1) -> Site:
    """A hub whose logs are written anew under load, twice, with a kill behind the second time."""
    # Slow syncs of the new log leave time for devices to come meanwhile.
    site = Site(hub, "sync/devices.jsonl.new:*:delay=200", seed)
    hub.start()
    site.add_profile()
    for number in range(8):
        site.add_device(f"noted-{number}")
    for _ in range(2):
        for number in range(8):
            device = hub.device(f"noted-{number}")["id"]["id"]
            hub.ask("POST", f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE", {"note": "n" * 200})
        site.load(0.2, f"load-{number}-{len(site.answered)}-", administrates=False)
        runs = hub.ask("POST", "/api/nearhub/log/compact")["runs"]
        eventually(lambda: not hub.status()["compaction"]["running"], 10)
        site.change_profiles()
        time.sleep(0.1)
        if runs == 2:
            hub.kill9()
        site.finish()
    hub.start()
    hub.stop()
    return site
