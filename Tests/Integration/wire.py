"""HTTP as bytes on a socket, for what no decent client library would send."""

from __future__ import annotations

import dataclasses
import json
import socket
import time


@dataclasses.dataclass
class Response:
    """One response as it came: status, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Closed(Exception):
    """The peer closed the connection before a whole response."""


class Wire:
    """A connection to a hub's device face."""

    def __init__(self, hub, source: str | None = None, timeout: float = 10):
        self.socket = socket.create_connection(hub.address, timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data: bytes):
        """Sends what the peer still takes: it may have answered and closed already."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed(self.received)
        self.received += data

    def response(self, head: bool = False) -> Response:
        """The next response; interim ones (100) are returned like any other."""
        while b"\r\n\r\n" not in self.received:
            self._more()
        block, _, self.received = self.received.partition(b"\r\n\r\n")
        first, *lines = block.decode("latin-1").split("\r\n")
        assert first.startswith(("HTTP/1.1 ", "HTTP/1.0 ")), first
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status, body = int(first.split()[1]), b""
        if status >= 200 and not head:
            length = int(headers["content-length"])
            while len(self.received) < length:
                self._more()
            body, self.received = self.received[:length], self.received[length:]
        return Response(status, headers, body)

    def rest(self) -> list[Response]:
        """Every response until the peer closes."""
        responses = []
        while True:
            try:
                responses.append(self.response())
            except Closed:
                return responses

    def closed_after(self, seconds: float) -> float | None:
        """The seconds until the peer closed, or None if it did not within `seconds`."""
        began = time.monotonic()
        self.socket.settimeout(seconds)
        try:
            while True:
                self._more()
        except Closed:
            return time.monotonic() - began
        except TimeoutError:
            return None


def post(body: bytes, *headers: str, version: str = "HTTP/1.1", path: str = "/api/v1/provision") -> bytes:
    """A POST with Content-Length; `headers` come on top."""
    lines = [f"POST {path} {version}", "Host: hub", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 10) -> bytes:
    """A body in chunks."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
