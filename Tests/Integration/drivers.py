"""How a case of Tests/Protocol/cases.json reaches the hub: one driver for each face."""

from __future__ import annotations

import abc
import base64
import dataclasses
import itertools
import json
import re

import aiocoap

import devices
from broker import Broker
from harness import PROVISION, Hub, UnixConnection, eventually, exchange


@dataclasses.dataclass
class Answer:
    """What came back: the face's own code as text ("200", "2.01"; empty on MQTT, which has none), and the bytes."""

    code: str
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Driver(abc.ABC):
    """Sends a case's request over one face, and knows what a case expects of that face."""

    face: str  # the name in the test's id
    carries: tuple[str, ...]  # the transports of the cases that it can carry
    waiting: frozenset[str] = frozenset()  # cases of this face that need a part which is not built yet

    def __init__(self, hub: Hub, broker: Broker | None = None):
        self.hub = hub
        self.broker = broker

    @classmethod
    def takes(cls, case: dict) -> bool:
        """Whether a case runs over this face."""
        return case["request"]["transport"] in cls.carries and case["id"] not in cls.waiting

    @classmethod
    def make_broker(cls) -> Broker | None:
        """The broker that the face needs, not started yet."""
        return None

    @abc.abstractmethod
    def send(self, request: dict) -> Answer:
        """Sends the request of a case."""

    @abc.abstractmethod
    def check_code(self, expect: dict, answer: Answer):
        """The face's code and whatever else is special to the face."""

    @abc.abstractmethod
    def check_malformed(self, expect: dict, answer: Answer, exact_bytes: bool):
        """The answer to a request that could not be read."""

    def close(self):
        """Ends the connections of the face's clients."""


def check_malformed_as_failure(expect: dict, answer: Answer, exact_bytes: bool, has_room: bool):
    """CoAP and MQTT: the refusal of protocol.md 6.2; with reason and detail (D2) where there is room for them."""
    if exact_bytes:
        assert answer.body == expect["fields"]["coapAndMqttModernBody"].encode()
        return
    refusal = {"errorMsg": "Failed to provision device!", "status": "FAILURE"}
    more = {"provisionDeviceStatus": "FAILURE", "reason": "MALFORMED"}
    assert answer.json.items() >= refusal.items()
    if has_room:
        assert answer.json.items() >= more.items() and answer.json["detail"]
    assert answer.json.keys() <= refusal.keys() | more.keys() | {"detail"}


def payload(request: dict) -> bytes | None:
    """The bytes that a case sends."""
    if "rawSize" in request:
        return b"x" * request["rawSize"]
    if "raw" in request:
        return request["raw"].encode()
    if "hex" in request:
        return bytes.fromhex(request["hex"])
    return None if request.get("body") is None else json.dumps(request["body"], ensure_ascii=False).encode()


class HTTPDriver(Driver):
    """HTTP: refusals are 200, malformed requests 400 with the error body of protocol.md 9.2."""

    face = "http"
    carries = ("any", "http")
    understands = {"transport", "body", "raw", "rawSize", "headers", "method", "path", "repeat", "then", "concurrent"}

    def send(self, request: dict) -> Answer:
        assert not (unknown := request.keys() - self.understands), f"the driver cannot send {unknown}"
        method = request.get("method", "POST")
        connection = self.hub.connect()
        try:
            answer = exchange(
                connection, method, request.get("path", PROVISION), payload(request), request.get("headers")
            )
        finally:
            connection.close()
        assert answer.headers["Content-Type"] == "application/json"
        self.hub.guard_answer(answer.body)
        return Answer(str(answer.status), answer.body)

    def check_code(self, expect: dict, answer: Answer):
        assert answer.code == str(expect["http"]), answer.body

    def check_malformed(self, expect: dict, answer: Answer, exact_bytes: bool):
        fields = expect["fields"]
        assert answer.json.items() >= fields["httpExact"].items()
        assert answer.json.keys() == set(fields["httpPresent"])
        assert re.match(re.escape(fields["httpMessagePrefix"]) + r": \S", answer.json["message"])
        assert isinstance(answer.json["timestamp"], int)


@dataclasses.dataclass
class CoAPAnswer(Answer):
    """What came back over CoAP."""

    content_format: int | None
    type: str
    request_size: int


class CoAPDriver(Driver):
    """CoAP by aiocoap: SUCCESS is 2.01, everything else 4.00 with the JSON."""

    face = "coap"
    carries = ("any", "coap")
    understands = {"transport", "body", "raw", "repeat", "then", "concurrent"}
    understands |= {"type", "path", "method", "contentFormat"}

    def send(self, request: dict) -> Answer:
        assert not (unknown := request.keys() - self.understands), f"the driver cannot send {unknown}"
        answer = devices.over_coap(
            self.hub,
            payload(request) or b"",
            path=request.get("path", devices.COAP_PATH),
            code=aiocoap.Code[request.get("method", "POST")],
            confirmable=request.get("type", "CON") == "CON",
            content_format=request.get("contentFormat"),
        )
        size = len(payload(request) or b"")
        return CoAPAnswer(answer.code.dotted, answer.payload, answer.opt.content_format, answer.mtype.name, size)

    def check_code(self, expect: dict, answer: CoAPAnswer):
        derived = {"SUCCESS": "2.01"}.get(expect["status"], "4.00")  # protocol.md 13
        assert answer.code == expect.get("coap", derived), answer
        if expect["status"] is not None:
            assert answer.content_format == expect.get("coapContentFormat", 0)
        if "coapType" in expect:
            assert answer.type == expect["coapType"]

    def check_malformed(self, expect: dict, answer: CoAPAnswer, exact_bytes: bool):
        # Who asks with little is told little, or the hub would amplify what others send in a victim's name.
        check_malformed_as_failure(expect, answer, exact_bytes, has_room=answer.request_size >= 100)


@dataclasses.dataclass
class MQTTAnswer(Answer):
    """What came back over MQTT: every message that could be the answer; `body` is the first one's."""

    messages: list[devices.Published]


class MQTTDriver(Driver):
    """MQTT by paho-mqtt and a plain broker: the request on a topic of its own, the answer on the one beside it."""

    face = "mqtt"
    carries = ("any", "mqtt")
    understands = {"transport", "body", "raw", "hex", "repeat", "then", "concurrent", "topic", "qos", "retain"}
    understands |= {"deliveredAsRetained", "protocol", "responseTopic", "correlationData"}

    @classmethod
    def make_broker(cls) -> Broker:
        return Broker(plugin=False, anonymous=True)

    def __init__(self, hub: Hub, broker: Broker | None = None):
        super().__init__(hub, broker)
        self.numbers = itertools.count(1)
        self.device = devices.MQTTDevice(broker, hub)
        self.device.subscribe("/provision/response/#")

    def close(self):
        self.device.close()

    def send(self, request: dict) -> Answer:
        assert not (unknown := request.keys() - self.understands), f"the driver cannot send {unknown}"
        if request.get("deliveredAsRetained"):
            return self._send_while_the_hub_is_away(request)
        if "responseTopic" in request:
            return self._send_with_response_topic(request)
        topic = request.get("topic", f"/provision/request/{next(self.numbers)}")
        answer_topic = topic.replace("request", "response")
        self.device.publish(topic, payload(request) or b"", request.get("qos", 1))
        if topic.startswith("/provision/request/"):
            self.device.message(answer_topic)
        return self._answer(self._all_messages(answer_topic))

    def _all_messages(self, topic: str) -> list[devices.Published]:
        """The messages on a topic, once everything before has been answered: decided, on disk, and on its way."""
        self._ask_marker()
        eventually(lambda: (log := self.hub.status()["journal"]["devices"])["seq"] == log["durable"])
        self._ask_marker()
        return [one for one in self.device.messages if one.topic == topic]

    def _ask_marker(self):
        """A request that is refused at once."""
        marker = f"marker-{next(self.numbers)}"
        self.device.publish(f"/provision/request/{marker}", b"{}", 1)
        self.device.message(f"/provision/response/{marker}")

    def _send_while_the_hub_is_away(self, request: dict) -> Answer:
        self.hub.stop()
        self.device.publish(request["topic"], payload(request), 1, retain=True)
        self.hub.start().connected()
        answer = self._answer(self._all_messages(request["topic"].replace("request", "response")))
        self.device.publish(request["topic"], b"", 1, retain=True)
        return answer

    def _send_with_response_topic(self, request: dict) -> Answer:
        device = devices.MQTTDevice(self.broker, self.hub, version=request["protocol"])
        try:
            topic = request["responseTopic"]
            device.subscribe(topic)
            device.publish(
                request.get("topic", "/provision/request"), payload(request), 1, response_topic=topic,
                correlation_data=base64.b64decode(request["correlationData"]),
            )  # fmt: skip
            device.message(topic)
            self._all_messages("")
            return self._answer(device.messages)
        finally:
            device.close()

    def _answer(self, messages: list[devices.Published]) -> MQTTAnswer:
        return MQTTAnswer("", messages[0].payload if messages else b"", messages)

    def check_code(self, expect: dict, answer: MQTTAnswer):
        wanted = expect.get("mqtt", {})
        if isinstance(wanted, str):  # the text of a malformed case: what check_malformed checks
            wanted = {}
        known = {"messages", "topic", "qos", "retain", "correlationData"}
        assert not (unknown := wanted.keys() - known), f"nothing checks {unknown}"
        assert len(answer.messages) == wanted.get("messages", 1), answer.messages
        for message in answer.messages:
            assert (message.qos, message.retain) == (wanted.get("qos", 0), wanted.get("retain", False))
            assert message.topic == wanted.get("topic", message.topic)
            if "correlationData" in wanted:
                assert message.correlation_data == base64.b64decode(wanted["correlationData"])
            size = expect.get("mqttPacketMaxBytes", 256 if expect["status"] != "SUCCESS" else 65536)
            assert message.packet_size <= size, f"{message.packet_size} bytes: {message.payload}"
            if "maxMembers" in expect:
                assert members(message.json) <= expect["maxMembers"]

    def check_malformed(self, expect: dict, answer: MQTTAnswer, exact_bytes: bool):
        # D6: no packet over 256 bytes, and the longest detail takes 120.
        has_room = answer.messages[0].packet_size < 256 - 120
        check_malformed_as_failure(expect, answer, exact_bytes, has_room)
        assert exact_bytes or answer.json["reason"] == "MALFORMED"


class PluginDriver(MQTTDriver):
    """MQTT by paho-mqtt and a broker with Nearhub's plugin: a client that knows ThingsBoard's topics only."""

    face = "mqtt-plugin"
    understands = MQTTDriver.understands - {"topic", "retain", "deliveredAsRetained", "protocol"}
    understands -= {"responseTopic", "correlationData"}

    @classmethod
    def takes(cls, case: dict) -> bool:
        return super().takes(case) and case["request"].keys() <= cls.understands | {"sequence"}

    @classmethod
    def make_broker(cls) -> Broker:
        return Broker()

    def __init__(self, hub: Hub, broker: Broker | None = None):
        Driver.__init__(self, hub, broker)

    def close(self):
        pass

    def send(self, request: dict) -> Answer:
        assert not (unknown := request.keys() - self.understands), f"the driver cannot send {unknown}"
        device = devices.MQTTDevice(self.broker, self.hub, username="provision")
        try:
            device.subscribe("/provision/response")
            device.publish("/provision/request", payload(request) or b"", request.get("qos", 1))
            device.message("/provision/response")
            return self._answer(device.messages)
        finally:
            device.close()


def members(value) -> int:
    """The members of an object, nested ones included."""
    return sum(1 + members(one) for one in value.values()) if isinstance(value, dict) else 0


class AdminDriver(HTTPDriver):
    """The admin REST API on the Unix socket, where the caller's user id stands for the bearer token."""

    face = "rest"
    carries = ("rest",)
    waiting = frozenset({"rest-001", "rest-002", "rest-003", "rest-017", "rest-018"})  # login, tokens, bulk import

    def send(self, request: dict) -> Answer:
        path = re.sub(r"\{(\w+)\}", lambda found: self._id(found[1]), request["path"])
        connection = UnixConnection(self.hub.socket)
        try:
            answer = exchange(connection, request["method"], path, payload(request))
        finally:
            connection.close()
        assert answer.headers["Content-Type"] == "application/json"
        return Answer(str(answer.status), answer.body)

    def _id(self, name: str) -> str:
        """The id of the profile or device that a path names in braces."""
        device = self.hub.device(name)
        if device is not None:
            return device["id"]["id"]
        profiles = self.hub.ask("GET", "/api/deviceProfiles?pageSize=100&page=0")["data"]
        return next(profile["id"]["id"] for profile in profiles if profile["name"] == name)
