"""Devices that speak CoAP and MQTT through the libraries that Python programs use: aiocoap and paho-mqtt.

Whatever they receive is guarded: the credentials in an answer may not be found where they do not belong.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import socket
import threading
import time

import aiocoap
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

COAP_PATH = ("api", "v1", "provision")
ANSWER_SECONDS = 15


# CoAP


@functools.cache
def coap_loop() -> asyncio.AbstractEventLoop:
    """The event loop of all CoAP devices of this process, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def over_coap(
    hub, payload, path=COAP_PATH, code=aiocoap.POST, confirmable=True, content_format=None
) -> aiocoap.Message:
    """One request by a CoAP client of its own; block-wise where aiocoap finds it too long."""

    async def ask():
        context = await aiocoap.Context.create_client_context()
        try:
            tuning = aiocoap.Reliable if confirmable else aiocoap.Unreliable
            message = aiocoap.Message(code=code, payload=payload, transport_tuning=tuning)
            message.set_request_uri(hub.coap_url + "/", set_uri_host=False)
            message.opt.uri_path = path
            if content_format is not None:
                message.opt.content_format = content_format
            return await asyncio.wait_for(context.request(message).response, ANSWER_SECONDS)
        finally:
            await context.shutdown()

    answer = asyncio.run_coroutine_threadsafe(ask(), coap_loop()).result(ANSWER_SECONDS + 5)
    hub.guard_answer(answer.payload)
    return answer


def provision_over_coap(hub, request: dict) -> dict:
    """One provision request over CoAP; the JSON of the answer."""
    return json.loads(over_coap(hub, json.dumps(request, ensure_ascii=False).encode()).payload)


# MQTT


@dataclasses.dataclass
class Published:
    """A message as a subscriber got it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    correlation_data: bytes | None
    packet_size: int

    @property
    def json(self):
        return json.loads(self.payload)


class MQTTDevice:
    """A connected client of a broker, and all that it received."""

    def __init__(
        self, broker, hub=None, *, version=4, client_id="", username=None, password="", clean=True, nodelay=True
    ):
        self.version = version
        self.hub = hub
        self.broker = broker
        self.messages: list[Published] = []
        self.subscribed: list[list[int]] = []
        self.news = threading.Condition()
        self.refusal: int | None = None
        options = {} if version == 5 or not client_id else {"clean_session": clean}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, **options)
        if username is not None:
            self.client.username_pw_set(username, password)
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.client.on_subscribe = self._on_subscribe
        self.answered = False
        if version == 5:
            self.client.connect(broker.host, broker.port, clean_start=clean)
        else:
            self.client.connect(broker.host, broker.port)
        if nodelay:
            self.client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.loop_start()
        self._until(lambda: self.answered, "the broker did not answer CONNECT")
        if self.refusal is not None:
            self.close()
            raise ConnectionRefusedError(f"the broker refused the connection: {self.refusal}")

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def subscribe(self, topic: str, qos: int = 1) -> list[int]:
        """Subscribes, and waits for the SUBACK; what it grants."""
        before = len(self.subscribed)
        self.client.subscribe(topic, qos)
        self._until(lambda: len(self.subscribed) > before, f"no SUBACK for {topic}")
        return self.subscribed[-1]

    def publish(
        self, topic: str, payload: bytes | dict, qos=0, *, retain=False, response_topic=None, correlation_data=None
    ) -> paho.MQTTMessageInfo:
        """Publishes, and waits until it is sent (QoS 0) or acknowledged."""
        properties = None
        if response_topic is not None or correlation_data is not None:
            properties = Properties(PacketTypes.PUBLISH)
            if response_topic is not None:
                properties.ResponseTopic = response_topic
            if correlation_data is not None:
                properties.CorrelationData = correlation_data
        payload = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        sent = self.client.publish(topic, payload, qos, retain, properties)
        sent.wait_for_publish(ANSWER_SECONDS)
        assert sent.is_published(), f"not acknowledged: {topic}"
        return sent

    def message(self, topic: str | None = None, seconds: float = ANSWER_SECONDS) -> Published:
        """The first message on a topic, or the first of all."""
        return self._until(
            lambda: next((one for one in list(self.messages) if topic in (None, one.topic)), None),
            f"no message on {topic}", seconds,
        )  # fmt: skip

    def provision(self, request: dict | bytes, serial: str, qos: int = 1) -> dict:
        """One request on /provision/request/<serial>; the JSON of the answer."""
        self.publish(f"/provision/request/{serial}", request, qos)
        return self.message(f"/provision/response/{serial}").json

    def _until(self, condition, complaint: str, seconds: float = ANSWER_SECONDS):
        deadline = time.monotonic() + seconds
        with self.news:
            while not (value := condition()):
                left = deadline - time.monotonic()
                assert left > 0, complaint
                self.news.wait(left)
        return value

    def _on_connect(self, client, userdata, flags, reason, properties):
        with self.news:
            self.answered, self.refusal = True, reason.value if reason.is_failure else None
            self.news.notify_all()

    def _on_subscribe(self, client, userdata, mid, reasons, properties):
        with self.news:
            self.subscribed.append([reason.value for reason in reasons])
            self.news.notify_all()

    def _on_message(self, client, userdata, message):
        correlation = getattr(message.properties, "CorrelationData", None) if message.properties else None
        properties = len(message.properties.pack()) if message.properties else 0
        size = 2 + len(message.topic.encode()) + (2 if message.qos else 0) + properties + len(message.payload)
        head = 2 if size < 128 else 3 if size < 16384 else 4
        if self.hub is not None:
            self.hub.guard_answer(message.payload)
            self.broker.guard(*self.hub.guarded)
        with self.news:
            self.messages.append(
                Published(message.topic, message.payload, message.qos, message.retain, correlation, head + size)
            )
            self.news.notify_all()
