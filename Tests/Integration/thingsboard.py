"""A test double of ThingsBoard's MQTT transport, written from protocol.md 7.3 and 11, on a port of the loopback.

    server = ThingsBoard().start()
    server.tenant.add_profile("meters", key, secret)
    server.next(Behaviour(status="FAILURE"), Behaviour(delay=2))   # what becomes of the next two requests
    server.always = lambda request: Behaviour(copies=2)            # and of those for which nothing was said

It runs in a thread of its own, keeps every session and request with its time, and is judged when it is closed: nobody
may have sent it anything that a ThingsBoard closes the connection for, except where a test says so (`forgives`).
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import ssl
import threading
import time
from collections.abc import Callable

import mqttpacket as mqtt
from broker import free_port
from tenant import FAILURE, NOT_FOUND, Device, Malformed, Tenant

REQUEST, RESPONSE = "/provision/request", "/provision/response"
MAXIMUM_PAYLOAD = 65536
BOTH = {"FAILURE": FAILURE, "NOT_FOUND": NOT_FOUND}


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What becomes of one provision request.

    `apply`: whether the platform carries it out. `status`: it refuses instead, FAILURE or NOT_FOUND. `delay`: seconds
    until the answer; `late`: it is carried out only then, even if the connection has ended. `copies`: how often it
    answers, 0 for never; `again`: once more so many seconds later. `payload`: these bytes instead of the answer. `swap`:
    the answer comes behind the next one of the session. `close`: the connection is closed "before" the answer, instead
    of it, or "after" it. `early`: PUBACK comes at once, as brokers send it.
    """

    apply: bool = True
    status: str | None = None
    delay: float = 0
    late: bool = False
    copies: int = 1
    again: float | None = None
    early: bool = False
    payload: bytes | None = None
    swap: bool = False
    close: str | None = None


@dataclasses.dataclass
class Request:
    """A provision request as it came, and what became of it; times are monotonic seconds."""

    session: Session
    at: float
    qos: int
    payload: bytes
    answer: dict | None = None
    answered: list[float] = dataclasses.field(default_factory=list)

    @property
    def json(self) -> dict:
        return json.loads(self.payload)

    @property
    def name(self) -> str:
        return self.json["deviceName"]

    @property
    def is_open(self) -> bool:
        """Whether the client still waits for the answer."""
        return not self.answered and self.session.closed is None


@dataclasses.dataclass
class Session:
    """One connection that was let in: for provisioning, or of a device that showed its credentials."""

    number: int
    connect: mqtt.Connect
    at: float
    device: Device | None
    closed: float | None = None
    ended_by: str | None = None  # DISCONNECT, client, server
    granted: int | None = None  # QoS of the subscription to the answers
    most_open: int = 0  # requests that were open at the same time
    requests: list[Request] = dataclasses.field(default_factory=list)

    @property
    def is_provisioning(self) -> bool:
        return self.device is None


class ThingsBoard:
    """The server.

    `suback`: whether SUBSCRIBE is acknowledged in a provisioning session, as from 3.9 on. `lifetime`: seconds from an
    answer to the end of its connection. `tls`: a context for mqtts. `forgives`: clients may break the rules.
    """

    def __init__(
        self, *, suback: bool = True, lifetime: float = 60, tenant: Tenant | None = None,
        tls: ssl.SSLContext | None = None, forgives: bool = False,
    ):  # fmt: skip
        self.suback = suback
        self.lifetime = lifetime
        self.tenant = tenant or Tenant()
        self.tls = tls
        self.forgives = forgives
        self.always: Callable[[Request], Behaviour] = lambda request: Behaviour()
        self.sessions: list[Session] = []
        self.requests: list[Request] = []
        self.refused: list[tuple[float, mqtt.Connect]] = []  # connections that were answered with a refusal
        self.attributes: list[tuple[str, dict]] = []  # what gateways and devices published, in order
        self.problems: list[str] = []
        self.host, self.port = "127.0.0.1", 0
        self._behaviours: collections.deque[Behaviour] = collections.deque()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    # Life

    def start(self) -> ThingsBoard:
        """Listens; again on the same port after `stop`."""
        if not self._thread.is_alive():
            self._thread.start()
        self.port = self.port or free_port()
        self._server = self._run(self._listen())
        return self

    def stop(self):
        """Closes every connection, and the port."""
        self._run(self._stop())

    def close(self):
        """Stops it for good, and judges it."""
        if self._thread.is_alive():
            self.stop()
            self._run(self._forget())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
        self._loop.close()
        assert self.forgives or not self.problems, "\n".join(self.problems)

    @property
    def url(self) -> str:
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}"

    def next(self, *behaviours: Behaviour):
        """Says what becomes of the next requests, in their order."""
        self._behaviours.extend(behaviours)

    def drop(self):
        """Closes every connection, as a server that crashes."""
        self._run(self._drop())

    # What was seen

    @property
    def provisioning(self) -> list[Session]:
        return [one for one in self.sessions if one.is_provisioning]

    @property
    def most_open(self) -> int:
        """Requests that were open at the same time on one session, at most."""
        return max((one.most_open for one in self.sessions), default=0)

    def order(self, name: str) -> list[Request]:
        """The requests for one device."""
        return [one for one in self.requests if one.name == name]

    def most_in(self, seconds: float) -> int:
        """The most requests that came within any span of so many seconds."""
        times = [one.at for one in self.requests]
        first = most = 0
        for last, at in enumerate(times):
            while at - times[first] > seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    # Connections

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(15)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, self.host, self.port, ssl=self.tls)

    async def _stop(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._drop()

    async def _forget(self):
        """Ends what was to be carried out late."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _drop(self):
        there = set(self._writers)  # others come while these go
        for writer in there:
            writer.transport.abort()
        while there & self._writers:
            await asyncio.sleep(0.002)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        connection = Connection(self, reader, writer)
        self._writers.add(writer)
        try:
            await connection.serve()
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError):
            pass
        except mqtt.ProtocolError as error:
            self.problems.append(f"not MQTT: {error}")
        except Exception as error:  # a fault of the double itself must not look like one of its client
            self.forgives = False
            self.problems.append(f"the double failed: {error!r}")
        finally:
            connection.ended()
            self._writers.discard(writer)
            writer.transport.abort()

    def behaviour(self, request: Request) -> Behaviour:
        return self._behaviours.popleft() if self._behaviours else self.always(request)


class Connection:
    """One connection of one client."""

    def __init__(self, server: ThingsBoard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.server = server
        self.reader = reader
        self.writer = writer
        self.session: Session | None = None
        self.version = 4
        self.identifier = 0
        self.swapped: list[tuple[Request, bytes]] = []
        self.tasks: set[asyncio.Task] = set()

    async def serve(self):
        """Reads packets until the connection ends."""
        async with asyncio.timeout(10):
            kind, _, body = await mqtt.read(self.reader, 2 * MAXIMUM_PAYLOAD)
        if kind != mqtt.CONNECT:
            raise mqtt.ProtocolError("the first packet is not CONNECT")
        if not self._login(mqtt.Connect.parse(body)):
            await self.writer.drain()
            return
        keep_alive = self.session.connect.keep_alive * 1.5 or None
        while True:
            async with asyncio.timeout(keep_alive):
                kind, flags, body = await mqtt.read(self.reader, 2 * MAXIMUM_PAYLOAD)
            if kind == mqtt.DISCONNECT:
                self.session.ended_by = "DISCONNECT"
                return
            self._receive(kind, flags, body)

    def ended(self):
        """The connection is over, whoever ended it."""
        if self.session is not None:
            self.session.closed = time.monotonic()
            self.session.ended_by = self.session.ended_by or "client"

    def _login(self, connect: mqtt.Connect) -> bool:
        """CONNECT: "provision" as user or client id may do nothing else; others show a device's credentials."""
        self.version = connect.version
        device = None
        if "provision" not in (connect.username, connect.client_id):
            device = self.server.tenant.login(connect.client_id, connect.username, connect.password)
            if device is None:
                self._send(mqtt.connack(self.version, self._refusal(connect)))
                self.server.refused.append((time.monotonic(), connect))
                return False
        number = len(self.server.sessions) + 1
        self.session = Session(number, connect, time.monotonic(), device)
        self.server.sessions.append(self.session)
        self._send(mqtt.connack(self.version, 0, not connect.clean))
        return True

    def _refusal(self, connect: mqtt.Connect) -> int:
        if connect.username is None and connect.password is None:
            return mqtt.BAD_CLIENT_ID if self.version == 5 else mqtt.OLD_BAD_CLIENT_ID
        return mqtt.BAD_LOGIN if self.version == 5 else mqtt.OLD_NOT_AUTHORIZED

    def _receive(self, kind: int, flags: int, body: bytes):
        if kind == mqtt.PUBLISH:
            message = mqtt.Publish.parse(flags, body, self.version)
            if len(message.payload) > MAXIMUM_PAYLOAD:
                return self._complain(f"a payload of {len(message.payload)} bytes")
            take = self._provision if self.session.is_provisioning else self._publish
            take(message)
        elif kind == mqtt.SUBSCRIBE:
            self._subscribe(*mqtt.parse_subscribe(body, self.version))
        elif kind == mqtt.UNSUBSCRIBE:
            identifier, filters = mqtt.parse_unsubscribe(body, self.version)
            self._send(mqtt.unsuback(self.version, identifier, len(filters)))
        elif kind == mqtt.PINGREQ:
            self._send(mqtt.packet(mqtt.PINGRESP, 0, b""))
        elif kind != mqtt.PUBACK:
            raise mqtt.ProtocolError(f"a packet of type {kind}")

    def _subscribe(self, identifier: int, filters: list[tuple[str, int]]):
        codes = []
        for name, qos in filters:
            allowed = name == RESPONSE or not self.session.is_provisioning
            codes.append(min(qos, 1) if allowed else 0x8F if self.version == 5 else 0x80)
        if self.session.is_provisioning and not self.server.suback:
            return  # up to 3.8 it is dropped without a word
        if codes[-1] < 0x80 and self.session.is_provisioning:
            self.session.granted = codes[-1]
        self._send(mqtt.suback(self.version, identifier, codes))

    # Provisioning

    def _provision(self, message: mqtt.Publish):
        if message.topic != REQUEST:
            return self._complain(f"{message.topic} in a session of the user provision")
        if message.retain:
            self.server.problems.append("a request that is retained")
        request = Request(self.session, time.monotonic(), message.qos, message.payload)
        self.session.requests.append(request)
        self.server.requests.append(request)
        self.session.most_open = max(self.session.most_open, sum(one.is_open for one in self.session.requests))
        behaviour = self.server.behaviour(request)
        if message.qos and behaviour.early:
            self._send(mqtt.puback(self.version, message.identifier))
        if not behaviour.late and not self._carry_out(request, behaviour):
            return
        task = asyncio.get_running_loop().create_task(self._answer(request, message, behaviour))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _carry_out(self, request: Request, behaviour: Behaviour) -> bool:
        """What the platform does; False if it cannot read the request."""
        try:
            if behaviour.status:
                request.answer = BOTH[behaviour.status]
            elif behaviour.apply:
                request.answer = self.server.tenant.provision(request.payload)
        except Malformed as error:
            self._complain(f"a malformed request: {error}")
            return False
        return True

    async def _answer(self, request: Request, message: mqtt.Publish, behaviour: Behaviour):
        await asyncio.sleep(behaviour.delay)
        if behaviour.late and not self._carry_out(request, behaviour) or self.session.closed is not None:
            return
        if behaviour.close == "before":
            return self._close()
        if behaviour.copies == 0:
            return
        if message.qos and not behaviour.early:
            self._send(mqtt.puback(self.version, message.identifier))
        payload = behaviour.payload
        if payload is None:
            payload = json.dumps(request.answer or FAILURE, separators=(",", ":"), ensure_ascii=False).encode()
        qos = 1 if self.session.granted is None else self.session.granted
        packets = b""
        for _ in range(behaviour.copies):
            self.identifier = self.identifier % 65535 + 1
            packets += mqtt.publish(self.version, RESPONSE, payload, qos, self.identifier)
        if behaviour.swap:
            self.swapped.append((request, packets))
            return
        due, self.swapped = [(request, packets), *self.swapped], []
        for one, data in due:
            one.answered.append(time.monotonic())
            self._send(data)
        if behaviour.again is not None:
            asyncio.get_running_loop().call_later(behaviour.again, self._send, packets)
        if behaviour.close == "after":
            return self._close()
        asyncio.get_running_loop().call_later(self.server.lifetime, self._close)

    # Devices and gateways

    def _publish(self, message: mqtt.Publish):
        device = self.session.device
        if message.topic.startswith("v1/gateway/"):
            if not device.gateway:
                return  # dropped, and not even acknowledged
            try:
                self._for_others(message.topic, json.loads(message.payload))
            except (ValueError, KeyError, AttributeError) as error:
                return self._complain(f"{message.topic}: {error!r}")
        elif message.topic == "v1/devices/me/attributes":
            device.attributes |= json.loads(message.payload)
            self.server.attributes.append((device.name, json.loads(message.payload)))
        if message.qos:
            self._send(mqtt.puback(self.version, message.identifier))

    def _for_others(self, topic: str, given: dict):
        tenant = self.server.tenant
        if not given:
            raise ValueError("an empty object")
        if topic == "v1/gateway/connect":
            tenant.connect_through_gateway(given["device"], given.get("type", "default"))
        elif topic == "v1/gateway/attributes":
            for name, attributes in given.items():
                tenant.connect_through_gateway(name, "default")
                tenant.devices[name].attributes |= attributes
                self.server.attributes.append((name, attributes))

    # Sending

    def _send(self, data: bytes):
        if not self.writer.transport.is_closing():
            self.writer.write(data)

    def _complain(self, problem: str):
        """What a ThingsBoard closes the connection for."""
        self.server.problems.append(problem)
        self._close()

    def _close(self):
        if self.session.closed is None:
            self.session.ended_by = self.session.ended_by or "server"
            self.writer.close()  # what was written still goes
