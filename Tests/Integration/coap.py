"""CoAP as bytes on a UDP socket (RFC 7252, RFC 7959), for what no decent client library would send."""

from __future__ import annotations

import dataclasses
import json
import random
import socket

CON, NON, ACK, RST = range(4)
GET, POST, PUT, DELETE = 0x01, 0x02, 0x03, 0x04
URI_PATH, CONTENT_FORMAT, ACCEPT, BLOCK2, BLOCK1, SIZE1, REQUEST_TAG = 11, 12, 17, 23, 27, 60, 292
PATH = ("api", "v1", "provision")


def code_text(code: int) -> str:
    """A code as people write it: 0x41 is "2.01"."""
    return f"{code >> 5}.{code & 31:02}"


def unsigned(value: int) -> bytes:
    """An option's integer: no leading zeros, zero is empty (RFC 7252 3.2)."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def block(number: int, more: bool, exponent: int) -> bytes:
    """The value of a Block option; the size is 16 << exponent."""
    return unsigned(number << 4 | more << 3 | exponent)


@dataclasses.dataclass(frozen=True)
class Block:
    """A Block option that was received."""

    number: int
    more: bool
    size: int


@dataclasses.dataclass
class Message:
    """One CoAP message."""

    kind: int
    code: int
    mid: int
    token: bytes = b""
    options: list[tuple[int, bytes]] = dataclasses.field(default_factory=list)
    payload: bytes = b""

    @property
    def text(self) -> str:
        """The code as text."""
        return code_text(self.code)

    @property
    def json(self):
        return json.loads(self.payload)

    def option(self, number: int) -> bytes | None:
        return next((value for name, value in self.options if name == number), None)

    def integer(self, number: int) -> int | None:
        value = self.option(number)
        return None if value is None else int.from_bytes(value, "big")

    def block(self, number: int) -> Block | None:
        value = self.integer(number)
        return None if value is None else Block(value >> 4, bool(value & 8), 16 << (value & 7))

    def encode(self) -> bytes:
        out = bytes([0x40 | self.kind << 4 | len(self.token), self.code]) + self.mid.to_bytes(2, "big") + self.token
        last = 0
        for number, value in sorted(self.options, key=lambda option: option[0]):
            (delta, more), (length, longer) = nibble(number - last), nibble(len(value))
            out += bytes([delta << 4 | length]) + more + longer + value
            last = number
        return out + (b"\xff" + self.payload if self.payload else b"")

    @classmethod
    def decode(cls, data: bytes) -> Message:
        length = data[0] & 15
        assert data[0] >> 6 == 1 and length <= 8, f"not CoAP: {data.hex()}"
        message = cls(data[0] >> 4 & 3, data[1], int.from_bytes(data[2:4], "big"), data[4 : 4 + length])
        at, number = 4 + length, 0
        while at < len(data) and data[at] != 0xFF:
            head, at = data[at], at + 1
            delta, at = extended(head >> 4, data, at)
            size, at = extended(head & 15, data, at)
            number += delta
            assert at + size <= len(data), f"an option runs over the end: {data.hex()}"
            message.options.append((number, data[at : at + size]))
            at += size
        message.payload = data[at + 1 :]
        assert message.payload or at == len(data), "a payload marker without payload (RFC 7252 3)"
        return message


def nibble(value: int) -> tuple[int, bytes]:
    """An option's delta or length: the four bits, and the bytes that follow (RFC 7252 3.1)."""
    if value < 13:
        return value, b""
    return (13, bytes([value - 13])) if value < 269 else (14, (value - 269).to_bytes(2, "big"))


def extended(value: int, data: bytes, at: int) -> tuple[int, int]:
    """Reverses `nibble`: the value, and where to read on."""
    assert value != 15
    if value == 13:
        return data[at] + 13, at + 1
    return (int.from_bytes(data[at : at + 2], "big") + 269, at + 2) if value == 14 else (value, at)


class Peer:
    """A UDP socket of a device, connected to a hub's CoAP face."""

    def __init__(self, hub, source: str = "127.0.0.1", timeout: float = 10):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.connect(hub.coap_address)
        self.socket.settimeout(timeout)
        self.hub = hub
        self.mid = random.randrange(0x10000)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def request(
        self, payload: bytes | dict = b"", *, kind=CON, code=POST, path=PATH, options=(), token=None
    ) -> Message:
        """A request with the next message id and, unless given, a new token."""
        self.mid = (self.mid + 1) & 0xFFFF
        payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        options = [(URI_PATH, segment.encode()) for segment in path] + list(options)
        return Message(kind, code, self.mid, random.randbytes(4) if token is None else token, options, payload)

    def send(self, message: Message | bytes):
        data = message if isinstance(message, bytes) else message.encode()
        try:
            self.socket.send(data)
        except ConnectionRefusedError:
            self.socket.send(data)  # the error was that of an earlier datagram

    def receive(self, timeout: float | None = None) -> Message:
        """The next message; TimeoutError if none comes."""
        return Message.decode(self.receive_bytes(timeout))

    def receive_bytes(self, timeout: float | None = None) -> bytes:
        if timeout is not None:
            before = self.socket.gettimeout()
            self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(65536)
            self.hub.guard_answer(data[data.find(b"{") :])
            return data
        finally:
            if timeout is not None:
                self.socket.settimeout(before)

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for that long."""
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def ask(self, payload: bytes | dict = b"", **how) -> Message:
        """Sends one request and awaits its answer: piggybacked, or separate and acknowledged then."""
        request = self.request(payload, **how)
        self.send(request)
        answer = self.receive()
        # The empty acknowledgement of it, or the late answer to one that was given up.
        while answer.token != request.token or (answer.kind == ACK and answer.code == 0):
            answer = self.receive()
        if answer.kind == CON:
            self.send(Message(ACK, 0, answer.mid))
        return answer

    def ask_in_blocks(self, payload: bytes | dict, exponent: int = 6, options=()) -> list[Message]:
        """Sends a request in blocks of 16 << exponent bytes; all answers, the last one is the answer."""
        payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        pieces = split(payload, exponent)
        answers, token = [], random.randbytes(4)
        for number, piece in enumerate(pieces):
            option = (BLOCK1, block(number, number < len(pieces) - 1, exponent))
            answers.append(self.ask(piece, token=token, options=[option, *options]))
            if answers[-1].text != "2.31":
                break
        return answers


def split(payload: bytes, exponent: int) -> list[bytes]:
    """A payload in pieces of 16 << exponent bytes."""
    size = 16 << exponent
    return [payload[at : at + size] for at in range(0, len(payload), size)]
