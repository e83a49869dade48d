"""The servers under test: the C reference and the real daemon, each a child process with a log of its own."""

import contextlib
import json
import os
import secrets
import signal
import socket
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
C_PROGRAMS = {
    "httpref": ["httpref.c", "-lmicrohttpd", "-ljansson", "-lpthread"],
    "coapref": ["coapref.c", "-lcoap-3-gnutls", "-ljansson", "-lpthread"],
    "coapload": ["coapload.c"],
    "mqttref": ["mqttref.c", "-lmosquitto", "-ljansson", "-lpthread"],
    "mqttload": ["mqttload.c", "-lmosquitto"],
    "synclimit": ["synclimit.c"],
    "upstreamref": ["upstreamref.c", "-lmosquitto"],
    "slowsync.so": ["-shared", "-fPIC", "slowsync.c", "-ldl"],
}


class ServerError(Exception):
    """A server that did not start, or did not do what the bench needs."""


@contextlib.contextmanager
def workspace() -> Iterator[tuple[Path, ExitStack]]:
    """A directory for logs, and the stack that ends every server and removes the directory, on SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = Path(tempfile.mkdtemp(prefix="nearhub-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        yield directory, stack


def compile_c(directory: Path) -> None:
    """Builds the C programs of this folder into a directory."""
    for name, arguments in C_PROGRAMS.items():
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-o", str(directory / name), *arguments], cwd=HERE, check=True)


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(ready, process: subprocess.Popen, what: str, seconds: float = 15) -> None:
    """Waits until `ready()` is true; an ended process or the deadline is a ServerError."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise ServerError(f"{what} ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise ServerError(f"{what} was not ready after {seconds:.0f} s")
        time.sleep(0.05)


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of the loopback address."""
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A running server: its process, its URL, the files of its key and secret, what wrk saw it answer.

    The stack ends the process.
    """

    def __init__(
        self, stack: ExitStack, name: str, command: list[str], directory: Path,
        environment: dict[str, str] | None = None,
    ):
        self.name = name
        self.directory = directory
        self.secrets: dict[str, str] = {}
        self.url = ""
        self.answered = 0
        self.log = directory / f"{name}.out"
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | (environment or {})
            )
        self.pid = self.process.pid
        stack.callback(self.stop)

    def stop(self) -> None:
        """Ends the process, politely first."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_reference(
    stack: ExitStack, directory: Path, name: str = "httpref", environment: dict[str, str] | None = None
) -> Server:
    """Starts the C reference with a log in the directory."""
    port = free_port()
    command = [str(directory / "httpref"), str(port), str(directory / f"{name}.jsonl")]
    server = Server(stack, name, command, directory, environment)
    server.url = f"http://127.0.0.1:{port}/api/v1/provision"
    wait_until(lambda: accepts(port), server.process, name)
    return server


class Daemon(Server):
    """The real daemon in a state directory of its own, with one profile that takes any number of devices."""

    def __init__(
        self, stack: ExitStack, binary: Path, directory: Path, name: str = "nearhub",
        environment: dict[str, str] | None = None, settings: tuple[str, ...] = (),
    ):
        self.binary = binary
        self.port = free_port()
        self.socket = directory / f"{name}.sock"
        configuration = directory / f"{name}.conf"
        configuration.write_text("")
        (directory / name).mkdir(mode=0o700)
        settings = (
            f"http.listen=127.0.0.1:{self.port}", "http.max-connections-per-address=1024", "coap.listen=",
            f"admin.socket={self.socket}", "log.level=warning", *settings,
        )
        command = [str(binary), "serve", "--config", str(configuration), "--state", str(directory / name)]
        for setting in settings:
            command += ["--set", setting]
        super().__init__(stack, name, command, directory, {"SWIFT_BACKTRACE": "enable=no"} | (environment or {}))
        self.url = f"http://127.0.0.1:{self.port}/api/v1/provision"
        try:
            wait_until(lambda: self.ask("status", check=False).returncode == 0, self.process, name)
        except ServerError as error:
            raise ServerError(f"{error}: {self.log.read_text().strip()[-300:]}") from None
        self._create_profile()

    def ask(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command of the daemon's own command line against it."""
        done = subprocess.run(
            [str(self.binary), *arguments, "--socket", str(self.socket)], capture_output=True, text=True, check=False,
            env=os.environ | {"SWIFT_BACKTRACE": "enable=no"},
        )
        if check and done.returncode:
            raise ServerError(f"nearhub {' '.join(arguments[:2])}: {done.stderr.strip()}")
        return done

    def _create_profile(self) -> None:
        """Makes the profile that the load provisions into; key and secret are files, never arguments."""
        for part in ("key", "secret"):
            path = self.directory / f"{self.name}.{part}"
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(10) + "\n")
            self.secrets[f"BENCH_{part.upper()}"] = str(path)
        self.ask(
            "profile", "create", "bench", "--key-file", self.secrets["BENCH_KEY"],
            "--secret-file", self.secrets["BENCH_SECRET"], "--max-devices", "1000000000",
        )

    def check_devices(self) -> None:
        """Every answer that the load counted must be a device in the log."""
        devices = json.loads(self.ask("status", "--json").stdout)["devices"]
        if devices < self.answered:
            raise ServerError(f"{self.name}: {self.answered} answers, but only {devices} devices")
