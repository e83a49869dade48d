"""A hub's upstream as tests see it: what the hub says of it, what arrived there, and devices by the thousand."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import selectors
import socket
import threading
import time

import paho.mqtt.client as paho

import journal
from harness import PROVISION, eventually

ACTIVE = ("pending", "sent")
FAST = {"rate": "unlimited"}
CERTIFICATE = "MIIBszCCAVmgAwIBAgIUQ0NDQ0NDQ0M="  # stored as it is: nobody looks into it


def settings(dialect: str, url: str, **more) -> list[str]:
    """The settings of [upstream]; `name_prefix="a-"` is name-prefix=a-."""
    more = {"dialect": dialect, "url": url, **more}
    return [f"upstream.{name.replace('_', '-')}={value}" for name, value in more.items()]


def shown(hub) -> dict:
    """What `status` says of the upstream."""
    return hub.status()["upstream"]


def connected(hub, seconds: float = 20) -> dict:
    return eventually(lambda: (now := shown(hub))["state"] == "connected" and now, seconds)


def away(hub, seconds: float = 20) -> dict:
    """Waits until `status` says that there is no connection and why."""
    return eventually(lambda: (now := shown(hub))["state"] not in ("connected", "connecting") and now["reason"] and now,
                      seconds)  # fmt: skip


def settled(hub, confirmed: int | None = None, seconds: float = 30) -> dict:
    """What `status` says when nothing is under way any more; `confirmed`: how many devices must have arrived."""
    reached: dict = {}

    def is_settled():
        reached.update(shown(hub))
        return not any(reached[one] for one in ACTIVE) and (confirmed is None or reached["confirmed"] == confirmed)

    try:
        eventually(is_settled, seconds)
    except AssertionError:
        raise AssertionError(f"not settled after {seconds} s: {reached}") from None
    return reached


def rows(hub, state: str | None = None) -> list[dict]:
    """Every row of `upstream list`, from the API."""
    found, after = [], 0
    while after is not None:
        page = hub.ask("GET", f"/api/nearhub/upstream?after={after}&limit=500" + (f"&state={state}" if state else ""))
        found, after = found + page["devices"], page["next"]
    return found


def written(hub) -> dict[str, dict]:
    """The newest record of every device in the hub's log, by id."""
    return journal.read(hub.state / "devices.jsonl").newest


def credentials(hub) -> dict[str, str]:
    """The id of each device's credentials, by the device's name."""
    return {one["device"]["name"]: one["device"]["credentials"]["id"] for one in written(hub).values()}


def row(hub, name: str) -> dict:
    """The row of one device."""
    [found] = [one for one in rows(hub) if one["name"] == name]
    return found


def becomes(hub, name: str, state: str, seconds: float = 20) -> dict:
    """The row of a device when it has come to a state."""
    last = None

    def has_come():
        nonlocal last
        last = next((one for one in rows(hub) if one["name"] == name), None)
        return last and last["state"] == state and last

    try:
        return eventually(has_come, seconds)
    except AssertionError:
        raise AssertionError(f"{name} is not {state} after {seconds} s: {last}, {shown(hub)}") from None


def works(hub, profile, numbers=itertools.count()):
    """Provisioning goes on as ever."""
    name = f"w{next(numbers)}"
    assert hub.provision(profile.request(name)).json["status"] == "SUCCESS"


def provision_many(hub, profile, count: int, prefix: str = "d", connections: int = 32) -> dict[str, float]:
    """Provisions devices as fast as the hub takes them; the seconds that each waited for its answer."""
    waited: dict[str, float] = {}
    numbers = iter(range(count))
    selector = selectors.DefaultSelector()

    def ask(connection: socket.socket) -> bool:
        number = next(numbers, None)
        if number is None:
            return False
        name = f"{prefix}{number}"
        body = json.dumps(profile.request(name)).encode()
        head = f"POST {PROVISION} HTTP/1.1\r\nHost: hub\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        selector.modify(connection, selectors.EVENT_READ, (name, time.perf_counter()))
        connection.sendall(head + body)
        return True

    for _ in range(min(connections, count)):
        connection = socket.create_connection(hub.address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        ask(connection)
    while selector.get_map():
        for key, _ in selector.select(20) or [(None, None)]:
            assert key is not None, "no answer within 20 s"
            name, asked = key.data
            answer = key.fileobj.recv(65536)
            assert b'"SUCCESS"' in answer, answer
            waited[name] = time.perf_counter() - asked
            if not ask(key.fileobj):
                selector.unregister(key.fileobj)
                key.fileobj.close()
    return waited


def percentile(values, part: float = 0.99) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


@dataclasses.dataclass
class Record:
    """One message of dialect journal as it arrived."""

    at: float
    retained: bool
    payload: bytes

    @property
    def json(self):
        return json.loads(self.payload) if self.payload else None


class Observer:
    """A client of the upstream broker that keeps all that hubs publish in dialect journal."""

    def __init__(self, broker, **login):
        self.records: dict[str, list[Record]] = collections.defaultdict(list)  # by topic below nearhub/<hub>/
        self.log: list[tuple[str, Record]] = []
        self.hubs: set[str] = set()
        self.subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, "", protocol=paho.MQTTv5)
        if login:
            self.client.username_pw_set(**login)
        self.client.on_connect = lambda client, *_: client.subscribe("nearhub/#", 1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._on_message
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert self.subscribed.wait(10)

    def _on_message(self, client, userdata, message):
        _, hub, topic = message.topic.split("/", 2)
        self.hubs.add(hub)
        record = Record(time.monotonic(), bool(message.retain), message.payload)
        self.records[topic].append(record)
        self.log.append((topic, record))

    @property
    def devices(self) -> dict[str, dict]:
        """The device records that count: by id, the one with the highest seq; tombstones as well."""
        latest: dict[str, dict] = {}
        for topic, records in list(self.records.items()):
            kind, _, device = topic.partition("/")
            if kind != "devices":
                continue
            for record in list(records):
                if record.payload and record.json["seq"] >= latest.get(device, {"seq": 0})["seq"]:
                    latest[device] = record.json
        return latest

    @property
    def arrivals(self) -> int:
        return sum(1 for topic, record in self.log if topic.startswith("devices/") and record.payload)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def retained(broker, seconds: float = 60, **login) -> dict[str, dict]:
    """The device records that a broker keeps, by the device's id."""
    observer = Observer(broker, **login)
    try:
        seen = -1
        deadline = time.monotonic() + seconds
        while seen != len(observer.log) and time.monotonic() < deadline:
            seen = len(observer.log)
            time.sleep(0.5)
        return observer.devices
    finally:
        observer.close()


class Site:
    """A hub below a double of ThingsBoard, with one profile that has the same key and secret at both ends."""

    def __init__(self, hub, server, profile):
        self.hub, self.server, self.profile = hub, server, profile

    @staticmethod
    def make(hubs, thingsboards, server: dict, **options) -> Site:
        """Starts both; the options are those of [upstream], without a bound on the rate."""
        double = thingsboards(**server).start()
        hub = hubs(*settings("thingsboard", double.url, **(FAST | options))).start()
        profile = hub.create_profile("meters")
        double.tenant.add_profile("meters", profile.key, profile.secret)
        return Site(hub, double, profile)

    @property
    def devices(self):
        return self.server.tenant.devices

    def provision(self, name, **members) -> dict:
        answer = self.hub.provision(self.profile.request(name, **members)).json
        assert answer["status"] == "SUCCESS", answer
        return answer

    def cli(self, *arguments):
        return self.hub.cli("upstream", *arguments)
