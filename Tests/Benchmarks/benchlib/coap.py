"""CoAP: the C reference in both its ways, and the load."""

import contextlib
import os
import socket
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from .load import Slice, run
from .servers import Server, wait_until

PING = b"\x40\x00\x00\x01"
_prefixes = count()


def free_udp_port() -> int:
    """A UDP port of the loopback address that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    """Whether somebody answers a CoAP ping (an empty confirmable message, answered by a reset)."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.settimeout(0.2)
        probe.connect(("127.0.0.1", port))
        try:
            probe.send(PING)
            return probe.recv(16)[:2] == b"\x70\x00"
        except OSError:
            return False


def start_reference(stack: ExitStack, directory: Path, way: str) -> tuple[Server, int]:
    """Starts the C reference, `ack` or `async`, with a log in the directory; also answers its port."""
    port = free_udp_port()
    name = f"coapref {way}"
    command = [str(directory / "coapref"), str(port), str(directory / f"coapref-{way}.jsonl"), way]
    server = Server(stack, name, command, directory)
    wait_until(lambda: answers(port), server.process, name)
    return server, port


def coapload(server: Server, port: int, window: int, seconds: int) -> Slice:
    """One slice of load: every request provisions a device of a new name; up to eight source ports ask."""
    tool = str(server.directory / "coapload")
    environment = {"PREFIX": f"{os.getpid():x}-{next(_prefixes)}"} | server.secrets
    result = run([tool, str(port), str(min(8, window)), str(window), str(seconds)], server.pid, environment)
    server.answered += result.requests
    return result
