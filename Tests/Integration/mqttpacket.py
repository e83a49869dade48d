"""Packets of MQTT 3.1, 3.1.1 and 5 as a server reads and writes them, in our own code: nothing that is under test.

OASIS MQTT Version 3.1.1 and Version 5.0; section numbers below are those of version 5.0. Properties are passed over.
"""

from __future__ import annotations

import asyncio
import dataclasses

(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ,
 PINGRESP, DISCONNECT, AUTH) = range(1, 16)  # fmt: skip

# Reason codes, 2.4, and what stands in the CONNACK of MQTT 3.1.1.
NOT_AUTHORIZED, BAD_LOGIN, BAD_CLIENT_ID = 0x87, 0x86, 0x85
OLD_NOT_AUTHORIZED, OLD_BAD_CLIENT_ID, OLD_BAD_VERSION = 5, 2, 1


class ProtocolError(Exception):
    """What was received is no MQTT, or no packet that a client may send now."""


class Body:
    """The bytes of one packet behind its fixed header, read from the front."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise ProtocolError("a packet is shorter than its fields")
        taken = self.data[self.at : self.at + count]
        self.at += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def integer(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.integer())

    def text(self) -> str:
        try:
            return self.binary().decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a text is not UTF-8") from error

    def skip_properties(self):
        length = shift = 0
        while True:
            byte = self.byte()
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        self.take(length)

    @property
    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)


@dataclasses.dataclass
class Connect:
    """CONNECT (3.1); `version` is 3, 4 (3.1.1) or 5."""

    version: int
    clean: bool
    keep_alive: int
    client_id: str
    username: str | None
    password: bytes | None
    has_will: bool

    @staticmethod
    def parse(data: bytes) -> Connect:
        body = Body(data)
        name, version, flags, keep_alive = body.text(), body.byte(), body.byte(), body.integer()
        if (name, version) not in (("MQIsdp", 3), ("MQTT", 4), ("MQTT", 5)):
            raise ProtocolError(f"protocol {name} {version}")
        if version == 5:
            body.skip_properties()
        client_id = body.text()
        if has_will := bool(flags & 0x04):
            if version == 5:
                body.skip_properties()
            body.text()
            body.binary()
        username = body.text() if flags & 0x80 else None
        password = body.binary() if flags & 0x40 else None
        return Connect(version, bool(flags & 0x02), keep_alive, client_id, username, password, has_will)


@dataclasses.dataclass
class Publish:
    """PUBLISH (3.3) as a client sends it."""

    topic: str
    payload: bytes
    qos: int
    identifier: int | None
    retain: bool
    duplicate: bool

    @staticmethod
    def parse(flags: int, data: bytes, version: int) -> Publish:
        body = Body(data)
        topic, qos = body.text(), flags >> 1 & 3
        if qos == 3:
            raise ProtocolError("QoS 3")
        identifier = body.integer() if qos else None
        if version == 5:
            body.skip_properties()
        return Publish(topic, body.rest, qos, identifier, bool(flags & 1), bool(flags & 8))


def parse_subscribe(data: bytes, version: int) -> tuple[int, list[tuple[str, int]]]:
    """SUBSCRIBE (3.8): its identifier, and filters with the QoS that is asked for."""
    body = Body(data)
    identifier = body.integer()
    if version == 5:
        body.skip_properties()
    filters = []
    while body.at < len(data):
        name = body.text()
        filters.append((name, body.byte() & 3))
    return identifier, filters


def parse_unsubscribe(data: bytes, version: int) -> tuple[int, list[str]]:
    """UNSUBSCRIBE (3.10): its identifier, and the filters."""
    body = Body(data)
    identifier = body.integer()
    if version == 5:
        body.skip_properties()
    filters = []
    while body.at < len(data):
        filters.append(body.text())
    return identifier, filters


async def read(reader: asyncio.StreamReader, maximum: int) -> tuple[int, int, bytes]:
    """The next packet: type, flags, body. IncompleteReadError at the end of the connection."""
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        if (shift := shift + 7) > 21:
            raise ProtocolError("a length of more than four bytes")
    if length > maximum:
        raise ProtocolError(f"a packet of {length} bytes")
    return first >> 4, first & 15, await reader.readexactly(length)


def packet(kind: int, flags: int, body: bytes) -> bytes:
    """A whole packet (2.1)."""
    length, left = b"", len(body)
    while True:
        left, byte = left >> 7, left & 0x7F
        length += bytes([byte | (0x80 if left else 0)])
        if not left:
            return bytes([kind << 4 | flags]) + length + body


def text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def connack(version: int, code: int, session_present: bool = False) -> bytes:
    return packet(CONNACK, 0, bytes([session_present, code]) + (b"\0" if version == 5 else b""))


def publish(version: int, topic: str, payload: bytes, qos: int, identifier: int = 0) -> bytes:
    head = text(topic) + (identifier.to_bytes(2, "big") if qos else b"") + (b"\0" if version == 5 else b"")
    return packet(PUBLISH, qos << 1, head + payload)


def puback(version: int, identifier: int, code: int = 0) -> bytes:
    """PUBACK (3.4); MQTT 3.1.1 has no reason code."""
    return packet(PUBACK, 0, identifier.to_bytes(2, "big") + (bytes([code]) if version == 5 and code else b""))


def suback(version: int, identifier: int, codes: list[int]) -> bytes:
    return packet(SUBACK, 0, identifier.to_bytes(2, "big") + (b"\0" if version == 5 else b"") + bytes(codes))


def unsuback(version: int, identifier: int, filters: int) -> bytes:
    return packet(UNSUBACK, 0, identifier.to_bytes(2, "big") + (b"\0" + bytes(filters) if version == 5 else b""))
