"""Peers of a broker under test: clients that may do what devices do not, and a hub that may misbehave."""

from __future__ import annotations

import json
import socket
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from harness import canary, eventually

REQUEST = "/provision/request"
RESPONSE = "/provision/response"
NOT_AUTHORIZED = 135  # also what paho makes of 5 in the CONNACK of MQTT 3.1.1
REFUSED = {128, 135}  # in a SUBACK: of MQTT 3.1.1 and of MQTT 5
# The filters with which a spy tries to overhear provisioning; QoS 1 each.
WILDCARDS = (
    "#", "+/+/+", "+/#", "/#", "/+/+", "/+/+/#", "/provision/#", "/provision/+", "/provision/+/+", "+/+/+/+",
    RESPONSE, RESPONSE + "/+", RESPONSE + "/#", REQUEST, REQUEST + "/+", REQUEST + "/#", "$nearhub/#", "$SYS/#",
    "$share/spies/#", "$share/spies//provision/#",
)  # fmt: skip


class Client:
    """A client that is connected unless `code` says why not, and everything that it received."""

    def __init__(
        self, broker, client_id="", *, version=4, username="provision", password=None, subscribe=(RESPONSE,), qos=1,
        clean=True, will=None, will_delay=0,
    ):  # fmt: skip
        self.received: list[paho.MQTTMessage] = []
        self.granted: list[int] = []
        self.acknowledged: list[int] = []
        self.code: int | None = None
        self.ended = threading.Event()
        self._subacks = 0
        options = {} if version == 5 or not client_id else {"clean_session": clean}
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False, **options
        )
        if username is not None:
            self.client.username_pw_set(username, password)
        if will is not None:
            self.client.will_set(*will, properties=self._will_properties(will_delay))
        self.client.on_connect = self._on_connect
        self.client.on_message = lambda client, userdata, message: self.received.append(message)
        self.client.on_subscribe = self._on_subscribe
        self.client.on_publish = lambda client, userdata, mid, reason, properties: self.acknowledged.append(mid)
        self.client.on_disconnect = lambda client, userdata, flags, reason, properties: self.ended.set()
        options = {"clean_start": clean, "properties": self._session(will_delay)} if version == 5 else {}
        self.client.connect(broker.host, broker.port, **options)
        self.client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.loop_start()
        eventually(lambda: self.code is not None)
        if self.code == 0 and subscribe:
            self.granted = self.subscribe(*subscribe, qos=qos)

    def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        """Subscribes to all filters in one packet; what the SUBACK grants."""
        before = self._subacks
        self.client.subscribe([(one, qos) for one in filters])
        eventually(lambda: self._subacks > before)
        return self._grants

    def publish(self, topic: str, payload: bytes | str, qos: int = 0, retain: bool = False) -> int:
        """Publishes without waiting; the packet's id."""
        return self.client.publish(topic, payload, qos, retain).mid

    def ask(self, name: str, qos: int = 0, *, retain: bool = False, topic: str = REQUEST, **members) -> str:
        """Sends a provision request; the secret in it, which nobody else may see."""
        secret = canary("PSECRET")
        body = {"deviceName": name, "provisionDeviceKey": "key", "provisionDeviceSecret": secret, **members}
        self.publish(topic, json.dumps(body), qos, retain)
        return secret

    def answers(self, number: int = 1) -> list[dict]:
        """The answers, when there are at least `number`."""
        eventually(lambda: len(self.received) >= number)
        return [json.loads(message.payload) for message in self.received]

    def settle(self):
        """Returns when all that the broker had for us until now is in `received`.

        It sends in order, and what a plugin hands over waits for its next main loop: so two round trips.
        """
        for _ in range(2):
            self.subscribe("settle/" + canary())

    def cut(self):
        """Loses the connection, as a device that loses its power; its will is published."""
        self.client.socket().shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    @staticmethod
    def _will_properties(delay: int) -> Properties | None:
        if not delay:
            return None
        properties = Properties(PacketTypes.WILLMESSAGE)
        properties.WillDelayInterval = delay
        return properties

    @staticmethod
    def _session(will_delay: int) -> Properties | None:
        """A session that outlasts the delay: a will is published at the session's end at the latest."""
        if not will_delay:
            return None
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = will_delay + 60
        return properties

    def _on_connect(self, client, userdata, flags, reason, properties):
        self.code = reason.value

    def _on_subscribe(self, client, userdata, mid, reasons, properties):
        self._grants = [reason.value for reason in reasons]
        self._subacks += 1


class StandInHub:
    """A hub that answers every request with a secret, or misbehaves as the request's `delay` and `silent` say."""

    def __init__(self, broker, *, client_id="nearhub", username="nearhub", password=None, version=5, clean=True):
        self.broker = broker
        self.secrets: dict[str, str] = {}  # device name to the last secret that it was given
        self.topics: list[str] = []
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=version,
            **({} if version == 5 else {"clean_session": clean}),
        )  # fmt: skip
        self.client.username_pw_set(username, password or broker.hub_password)
        self.client.on_message = self._on_message
        self._subscribed = threading.Event()
        self.client.on_connect = lambda *_: self.client.subscribe([(REQUEST, 1), (REQUEST + "/+", 1)])
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.connect(broker.host, broker.port)
        self.client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.loop_start()
        assert self._subscribed.wait(5), "the hub was not let in"

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def _on_message(self, client, userdata, message):
        self.topics.append(message.topic)
        request = json.loads(message.payload)
        self.broker.guard(request["provisionDeviceSecret"])
        if request.get("silent"):
            return
        secret = canary("SECRET")
        self.broker.guard(secret)
        self.secrets[request["deviceName"]] = secret
        answer = json.dumps({"status": "SUCCESS", "credentialsType": "ACCESS_TOKEN", "credentialsValue": secret})
        target = message.topic.replace("request", "response")

        def send():
            client.publish(target, answer)

        delay = request.get("delay", 0)
        threading.Timer(delay, send).start() if delay else send()


def held(client: Client) -> bytes:
    """All topics and payloads that a client received, to look for what it may not have."""
    return b"\n".join(message.topic.encode() + b" " + message.payload for message in client.received)


def wait(seconds: float):
    """Lets time pass where the passing of time is what is tested."""
    time.sleep(seconds)
