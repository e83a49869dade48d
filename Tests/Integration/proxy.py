"""A link that a test can cut, slow and stall: a TCP proxy on the loopback; and a DNS server that never answers.

    link = Proxy(broker.port).start()
    link.rate = 2000        # bytes a second, each way, for each connection
    link.delay = 0.3        # seconds each way
    link.stall()            # a black hole: nothing passes, nothing is closed, until resume()
    link.cut()              # connections are reset
    link.refuse()           # and further ones refused, until start()
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import socket
import struct
import subprocess
import tempfile
import threading
import time

from broker import free_port

CHUNK = 4096


class Proxy:
    """The link to one port of the loopback interface."""

    def __init__(self, target: int):
        self.target = target
        self.host, self.port = "127.0.0.1", free_port()
        self.rate: float | None = None
        self.delay = 0.0
        self.connections = 0  # that ever were
        self.bytes = [0, 0]  # that passed towards the target, and back
        self.times: list[float] = []  # of each connection's beginning, in monotonic seconds
        self._links: dict[asyncio.Task, list[asyncio.StreamWriter]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._open: asyncio.Event | None = None

    def start(self) -> Proxy:
        """Listens; again after `refuse`."""
        if not self._thread.is_alive():
            self._thread.start()
        self._run(self._listen())
        return self

    def close(self):
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    def stall(self):
        """Nothing passes any more. New connections are accepted, as by a kernel whose program hangs."""
        self._run(self._set_open(False))

    def resume(self):
        self._run(self._set_open(True))

    def cut(self):
        """Resets every connection."""
        self._run(self._cut())

    def refuse(self):
        """Resets every connection, and refuses new ones."""
        self._run(self._refuse())

    # In the loop

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(15)

    async def _listen(self):
        self._open = self._open or asyncio.Event()
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)

    async def _set_open(self, is_open: bool):
        self._open.set() if is_open else self._open.clear()

    async def _refuse(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self):
        there = dict(self._links)  # others come while these go
        for task, ends in there.items():
            for end in ends:
                reset(end)
            task.cancel()
        if there:
            await asyncio.wait(there)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.connections += 1
        self.times.append(time.monotonic())
        ends = self._links[asyncio.current_task()] = [writer]
        pumps = []
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
            ends.append(far_writer)
            pumps = [
                asyncio.ensure_future(self._pump(reader, far_writer, 0)),
                asyncio.ensure_future(self._pump(far_reader, writer, 1)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.CancelledError):
            pass  # nobody is there, so the client's connection ends, too; or it is cut
        finally:
            for pump in pumps:
                pump.cancel()
            for end in ends:
                end.close()
            del self._links[asyncio.current_task()]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: int):
        """Carries bytes one way; the delay is added to each piece, while the next ones are on their way already."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        sender = asyncio.ensure_future(self._deliver(pieces, writer, way))
        try:
            while data := await reader.read(CHUNK):
                await pieces.put((time.monotonic(), data))
                if self.rate:
                    await asyncio.sleep(len(data) / self.rate)
            await pieces.put((time.monotonic(), b""))
            await sender
        except OSError:
            pass
        finally:
            sender.cancel()

    async def _deliver(self, pieces: asyncio.Queue, writer: asyncio.StreamWriter, way: int):
        while True:
            at, data = await pieces.get()
            await asyncio.sleep(max(0, at + self.delay - time.monotonic()))
            await self._open.wait()
            if not data:
                return
            writer.write(data)
            self.bytes[way] += len(data)
            await writer.drain()


def reset(writer: asyncio.StreamWriter):
    """Ends a connection by RST, as a router does that has forgotten it."""
    try:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    writer.transport.abort()


class BlackHoleDNS:
    """A resolver that takes every question and answers none, and how a program is made to ask it.

    resolv.conf(5) knows no ports, so it must be 53, and the file is replaced in a mount namespace of the program's own:
    both need root.
    """

    def __init__(self):
        self.address = f"127.{os.getpid() % 250 + 1}.{os.getpid() // 250 % 250}.53"
        self.questions = 0
        self.directory = tempfile.TemporaryDirectory(prefix="dns-", dir="/tmp")
        self.file = pathlib.Path(self.directory.name) / "resolv.conf"
        self.file.write_text(f"nameserver {self.address}\n")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, 53))
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    @staticmethod
    def why_not() -> str | None:
        """Why there can be none here; None if there can."""
        if os.geteuid() != 0:
            return "needs root"
        mount = ["mount", "--bind", "/etc/hostname", "/etc/resolv.conf"]
        tried = subprocess.run(["unshare", "-m", *mount], capture_output=True)
        return tried.stderr.decode().strip() if tried.returncode else None

    @property
    def wrapper(self) -> list[str]:
        """What a command is run by so that it asks here."""
        return ["unshare", "-m", "sh", "-c", f'mount --bind {self.file} /etc/resolv.conf && exec "$@"', "sh"]

    def close(self):
        self.socket.sendto(b"", (self.address, 53))  # the thread wakes up, and sees that it is over
        self.thread.join(5)
        self.socket.close()
        self.directory.cleanup()

    def _listen(self):
        while self.socket.recv(2048):
            self.questions += 1
