"""MQTT: a broker of the bench's own, the C reference that is its client, and the load through it."""

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

from .load import Slice, run
from .machine import cpu_seconds
from .servers import Server, accepts, free_port, wait_until

CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
set_tcp_nodelay true
log_type error
"""
_prefixes = count()


class Broker(Server):
    """A Mosquitto without the plugin, on a free port of the loopback address."""

    def __init__(self, stack: ExitStack, directory: Path, name: str):
        self.port = free_port()
        configuration = directory / f"{name}.conf"
        configuration.write_text(CONFIGURATION.format(port=self.port))
        super().__init__(stack, name, [program(), "-c", str(configuration)], directory)
        wait_until(lambda: accepts(self.port), self.process, name)


def program() -> str:
    """The broker; Debian keeps it where only root's PATH leads."""
    return shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def start_reference(stack: ExitStack, directory: Path, broker: Broker) -> Server:
    """Starts the C reference with a log in the directory."""
    command = [str(directory / "mqttref"), str(broker.port), str(directory / "mqttref.jsonl")]
    return Server(stack, "mqttref", command, directory)


def mqttload(server: Server, broker: Broker, window: int, seconds: int, qos: int = 1) -> Slice:
    """One slice of load: every request provisions a device of a new name; up to four ask on one connection."""
    tool = str(server.directory / "mqttload")
    clients = max(1, window // 4)
    environment = {"PREFIX": f"{os.getpid():x}-{next(_prefixes)}"} | server.secrets
    before, begun = cpu_seconds(broker.pid), time.monotonic()
    result = run([tool, str(broker.port), str(clients), str(window), str(seconds), str(qos)], server.pid, environment)
    server.answered += result.requests
    # The broker belongs to the slice: only what is left was used by others.
    share = (cpu_seconds(broker.pid) - before) / ((time.monotonic() - begun) * (os.cpu_count() or 1))
    return replace(result, foreign=max(0.0, result.foreign - share))
