"""The real recovery, on any state of a disk: starts the daemon, asks what it knows, kills it, looks at what it left."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import faultline
import journal
from disk import Tree
from harness import binary

SECONDS = 30
LOGS = ("/profiles.jsonl", "/devices.jsonl")


@dataclasses.dataclass
class Recovered:
    """What one start made of a state."""

    code: int | None
    stderr: str
    tree: Tree
    devices: list[dict] = dataclasses.field(default_factory=list)
    profiles: list[dict] = dataclasses.field(default_factory=list)
    credentials: dict[str, dict] = dataclasses.field(default_factory=dict)
    cursor: int | None = None

    @property
    def is_ready(self) -> bool:
        return self.code is None

    @property
    def logs(self) -> tuple:
        return tuple(self.tree.get(name) for name in LOGS)


class Machine:
    """A directory in memory in which states are laid out and recovered, by a daemon with these settings."""

    def __init__(self, settings: list[str] = ()):
        self.settings = settings
        memory = pathlib.Path("/dev/shm")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cut-", dir=memory if memory.is_dir() else None))
        self.state = self.directory / "state"
        self.socket = self.directory / "socket"
        self.trace = self.directory / "trace"

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def lay_out(self, tree: Tree):
        """Makes the state directory hold exactly that."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(mode=0o700)
        for name, data in tree.items():
            path = self.state / name[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(data)

    def recover(self, ask: list[str] = (), is_traced: bool = False) -> Recovered:
        """Starts the daemon on what is laid out, asks for these devices' credentials, and kills it."""
        command = ["setpriv", "--pdeathsig", "KILL", binary(), "serve", "--config", "/dev/null"]
        command += ["--state", str(self.state), "--set", "http.listen=", "--set", "coap.listen="]
        for setting in (f"admin.socket={self.socket}", *self.settings):
            command += ["--set", setting]
        environment = {"PATH": os.environ["PATH"], "SWIFT_BACKTRACE": "enable=no"}
        if is_traced:
            self.trace.unlink(missing_ok=True)
            environment |= faultline.environment(self.state, self.trace)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        )
        said = b""
        try:
            while b" is ready" not in said and (some := os.read(process.stderr.fileno(), 1 << 16)):
                said += some
            if b" is ready" not in said:
                return Recovered(process.wait(SECONDS), said.decode(errors="replace"), self.tree())
            devices, profiles, cursor = [], [], 0
            while cursor is not None:
                page = self._ask(f"/api/nearhub/devices?after={cursor}&limit=500")
                devices += page["devices"]
                cursor = page["next"]
            profiles = self._ask("/api/deviceProfiles?pageSize=1000&page=0")["data"]
            credentials = {device: self._ask(f"/api/device/{device}/credentials") for device in ask}
            upstream = self._ask("/api/nearhub/status")["upstream"] if self.settings else {}
        finally:
            process.kill()
            process.wait()
            process.stderr.close()
        said = said.decode(errors="replace")
        return Recovered(None, said, self.tree(), devices, profiles, credentials, upstream.get("cursor"))

    def tree(self) -> Tree:
        """What the state directory holds."""
        return {name: data for name, (_, data) in faultline.snapshot(self.state).items() if name != "/lock"}

    def _ask(self, path: str) -> dict:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(self.socket))
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = b""
            while some := connection.recv(1 << 16):
                answer += some
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0], f"GET {path}: {answer[:300]!r}"
        return json.loads(body)


@functools.lru_cache(maxsize=1 << 16)
def parse(raw: bytes) -> dict | None:
    """A line's object; the states of one recording are made of the same lines again and again."""
    return journal.parse(raw)


def whole_log(data: bytes | None) -> journal.Log:
    """A log that a recovery left, by a reader of our own; it must be whole to its last byte."""
    lines, at = [], 0
    for raw in (data or b"").splitlines(keepends=True):
        found = parse(raw)
        assert found is not None, f"a line that is not whole is left at byte {at}"
        lines.append(journal.Line(at, raw, found))
        at += len(raw)
    return journal.Log(lines, b"")
