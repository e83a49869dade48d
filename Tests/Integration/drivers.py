"""How a case of Tests/Protocol/cases.json reaches the hub: one driver for each face."""

from __future__ import annotations

import abc
import dataclasses
import json
import re

from harness import PROVISION, Hub, UnixConnection, exchange


@dataclasses.dataclass
class Answer:
    """What came back: the face's own code as text ("200", later "2.01"), and the bytes."""

    code: str
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Driver(abc.ABC):
    """Sends a case's request over one face, and knows what a case expects of that face."""

    transport: str
    waiting: frozenset[str] = frozenset()  # cases of this face that need a part which is not built yet

    def __init__(self, hub: Hub):
        self.hub = hub

    @abc.abstractmethod
    def send(self, request: dict) -> Answer:
        """Sends the request of a case."""

    @abc.abstractmethod
    def check_code(self, expect: dict, answer: Answer):
        """The face's code and whatever else is special to the face."""

    @abc.abstractmethod
    def check_malformed(self, expect: dict, answer: Answer):
        """The answer to a request that could not be read."""


def payload(request: dict) -> bytes | None:
    """The bytes that a case sends."""
    if "rawSize" in request:
        return b"x" * request["rawSize"]
    if "raw" in request:
        return request["raw"].encode()
    return None if request.get("body") is None else json.dumps(request["body"], ensure_ascii=False).encode()


class HTTPDriver(Driver):
    """HTTP: refusals are 200, malformed requests 400 with the error body of protocol.md 9.2."""

    transport = "http"
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

    def check_malformed(self, expect: dict, answer: Answer):
        fields = expect["fields"]
        assert answer.json.items() >= fields["httpExact"].items()
        assert answer.json.keys() == set(fields["httpPresent"])
        assert re.match(re.escape(fields["httpMessagePrefix"]) + r": \S", answer.json["message"])
        assert isinstance(answer.json["timestamp"], int)


class AdminDriver(HTTPDriver):
    """The admin REST API on the Unix socket, where the caller's user id stands for the bearer token."""

    transport = "rest"
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
