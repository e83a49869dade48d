"""A Nearhub daemon for one test, and every way a test talks to it.

A hub lives in a temporary directory of its own, on free loopback ports, and is judged when it is closed: no secret
that went through it may stand in a log line, in the command line's complaints, in its arguments or its environment;
its state must be readable by its owner only; and it must have ended well unless the test killed it.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import urllib.parse

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROVISION = "/api/v1/provision"
READY_SECONDS = 20
STOP_SECONDS = 5


def binary() -> str:
    """The program under test: $NEARHUB_BIN, else the release build, else the debug build."""
    built = [REPOSITORY / ".build" / kind / "nearhub" for kind in ("release", "debug")]
    chosen = os.environ.get("NEARHUB_BIN") or next((str(path) for path in built if path.exists()), None)
    if chosen is None or not os.access(chosen, os.X_OK):
        raise RuntimeError(f"no nearhub to test: set NEARHUB_BIN or build it first (looked for {chosen or built})")
    return str(pathlib.Path(chosen).resolve())


def canary(label: str = "canary") -> str:
    """A secret nobody else has, so that finding it anywhere proves a leak."""
    return label + secrets.token_hex(10)


class Meanwhile:
    """Does its `work` again and again on a thread of its own, as long as a `with` lasts."""

    def __init__(self):
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._thread.join()

    def _run(self):
        while not self.over.is_set():
            self.work()


def eventually(condition, seconds: float = 5, every: float = 0.02):
    """The first true value of `condition()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not come true within {seconds} s: {condition}"
        time.sleep(every)
    return value


@dataclasses.dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def members(self) -> list[str]:
        """Member names in the order in which they were sent."""
        return [name for name, _ in json.loads(self.body, object_pairs_hook=list)]


@dataclasses.dataclass
class Run:
    """One finished run of the command line."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclasses.dataclass
class Profile:
    """A device profile as the hub returned it."""

    json: dict
    key: str | None
    secret: str | None

    @property
    def name(self) -> str:
        return self.json["name"]

    @property
    def id(self) -> str:
        return self.json["id"]["id"]

    def request(self, name: str | None = None, **members) -> dict:
        """A provision request for this profile."""
        body = {} if name is None else {"deviceName": name}
        return body | {"provisionDeviceKey": self.key, "provisionDeviceSecret": self.secret} | members


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: pathlib.Path):
        super().__init__("localhost", timeout=15)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def exchange(connection: http.client.HTTPConnection, method: str, path: str, body=None, headers=None) -> Answer:
    """Sends one request. `body`: bytes as they are, anything else as JSON; a header of None is not sent."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False).encode()
    wanted = {"Content-Type": "application/json"} if body is not None else {}
    wanted |= headers or {}
    connection.putrequest(method, path, skip_accept_encoding=True)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    for name, value in wanted.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    if body:
        try:
            connection.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused by its headers: the answer is there already
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


class Died(AssertionError):
    """The daemon ended before it was ready."""

    def __init__(self, code: int, stderr: str):
        super().__init__(f"nearhub serve ended with {code} before it was ready:\n{stderr}")
        self.code = code
        self.stderr = stderr


class Hub:
    """One daemon: its directory, its process, and the ways to it."""

    def __init__(
        self,
        *settings: str,
        configuration: str = "",
        environment: dict[str, str] | None = None,
        data_limit: int | None = None,
    ):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nearhub-", dir="/tmp"))  # short: sun_path has 108 bytes
        self.state = self.directory / "state"
        self.socket = self.directory / "nearhub.sock"
        self.configuration = self.directory / "nearhub.conf"
        self.stderr_file = self.directory / "stderr"
        self.state.mkdir(mode=0o700)
        self.configuration.write_text(
            configuration
            or "[http]\nlisten = 127.0.0.1:0\n\n[coap]\nlisten = 127.0.0.1:0\n\n"
            f"[admin]\nsocket = {self.socket}\n\n[log]\nlevel = trace\n"
        )
        self.stderr_file.touch()
        self.settings = list(settings)
        self.limits = [] if data_limit is None else ["prlimit", f"--data={data_limit}"]
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "SWIFT_BACKTRACE": "enable=no",
            **{k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "ASAN_OPTIONS", "TSAN_OPTIONS")},
            **(environment or {}),
        }
        self.process: subprocess.Popen | None = None
        self.address: tuple[str, int] = ("127.0.0.1", 0)
        self.coap_address: tuple[str, int] = ("127.0.0.1", 0)
        self.guarded: set[str] = set()
        self.complaints: list[str] = []
        self.problems: list[str] = []

    # Life

    def spawn(self) -> subprocess.Popen:
        """Starts the daemon without waiting. It dies with us, and gets the least helpful umask."""
        command = ["setpriv", "--pdeathsig", "KILL", *self.limits, binary(), "serve"]
        command += ["--config", str(self.configuration), "--state", str(self.state)]
        for setting in self.settings:
            command += ["--set", setting]
        with open(self.stderr_file, "ab") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=self.environment,
                cwd=self.directory,
                umask=0,
            )
        return self.process

    def start(self) -> Hub:
        """Starts the daemon and waits until it says that it is ready."""
        already = self.stderr_file.stat().st_size
        process = self.spawn()
        deadline = time.monotonic() + READY_SECONDS
        while b" is ready" not in self.stderr_file.read_bytes()[already:]:
            if process.poll() is not None:
                self.process = None
                raise Died(process.returncode, self.stderr_file.read_bytes()[already:].decode(errors="replace"))
            if time.monotonic() > deadline:
                raise AssertionError(f"not ready after {READY_SECONDS} s:\n{self.stderr[-2000:]}")
            time.sleep(0.004)
        status = self.status()
        self.address = first_address(status["http"]["listening"]) or self.address
        self.coap_address = first_address(status["coap"]["listening"]) or self.coap_address
        return self

    def connected(self, seconds: float = 10) -> Hub:
        """Waits until the hub has its subscriptions at the broker."""
        eventually(lambda: self.status()["mqtt"]["state"] == "connected", seconds)
        return self

    def refused(self, seconds: float = 10) -> Run:
        """Starts the daemon, expecting it to refuse; its exit status and what it said."""
        already = self.stderr_file.stat().st_size
        process = self.spawn()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon should have refused to start:\n{self.stderr}") from None
        self.process = None
        return Run(code, "", self.stderr_file.read_bytes()[already:].decode(errors="replace"))

    def stop(self) -> float:
        """Ends the daemon by SIGTERM as systemd does; the seconds it took. Anything but a clean exit is a problem."""
        process, self.process = self.process, None
        self._look_into_proc(process.pid)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.problems.append(f"still running {STOP_SECONDS} s after SIGTERM")
            process.kill()
            process.wait()
        else:
            if process.returncode != 0:
                self.problems.append(f"exit status {process.returncode} instead of 0")
        return time.monotonic() - began

    def kill9(self):
        """Ends the daemon as a power cut would end it, as far as a process can."""
        process, self.process = self.process, None
        self._look_into_proc(process.pid)
        process.kill()
        process.wait()

    def restart(self) -> Hub:
        self.stop()
        return self.start()

    def close(self):
        """Stops the daemon, judges what it left, and removes it."""
        try:
            if self.process is not None and self.process.poll() is not None:
                self.problems.append(f"died by itself with status {self.process.returncode}")
                self.process = None
            if self.process is not None:
                self.stop()
            self._look_at_modes()
            self._look_for_leaks("its log", self.stderr)
            for path in self.state.glob("audit.jsonl*"):
                if path.is_file():
                    self._look_for_leaks(path.name, path.read_text(errors="replace"))
            self._look_for_leaks("the command line's stderr", "\n".join(self.complaints))
            assert not self.problems, "\n".join([*self.problems, "the daemon's log:", self.stderr[-6000:]])
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.directory, ignore_errors=True)

    # Faces

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def coap_url(self) -> str:
        return f"coap://{self.coap_address[0]}:{self.coap_address[1]}"

    @property
    def anonymous_memory(self) -> int:
        """The bytes of memory that are the daemon's own: RssAnon of proc(5)."""
        return self._memory("RssAnon")

    @property
    def peak_memory(self) -> int:
        """The most bytes that the daemon ever held, shared ones included: VmHWM of proc(5)."""
        return self._memory("VmHWM")

    def _memory(self, name: str) -> int:
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name + ":")))

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text(errors="replace")

    def connect(self, source: str | None = None) -> http.client.HTTPConnection:
        """A connection to the device face, from the loopback address `source`."""
        return http.client.HTTPConnection(*self.address, timeout=20, source_address=(source, 0) if source else None)

    def http(self, method: str, path: str, body=None, headers=None, source: str | None = None) -> Answer:
        """One request to the device face on a connection of its own."""
        connection = self.connect(source)
        try:
            return exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    def provision(self, request, headers=None) -> Answer:
        """One provision request over HTTP; the credentials in the answer are guarded from then on."""
        answer = self.http("POST", PROVISION, request, headers)
        self.guard_answer(answer.body)
        return answer

    def admin(self, method: str, path: str, body=None) -> Answer:
        """One request to the admin API on the Unix socket."""
        connection = UnixConnection(self.socket)
        try:
            return exchange(connection, method, path, body)
        finally:
            connection.close()

    def ask(self, method: str, path: str, body=None):
        """The JSON of an admin request that must succeed."""
        answer = self.admin(method, path, body)
        assert answer.status == 200, f"{method} {path}: {answer.status} {answer.body!r}"
        return answer.json if answer.body else None

    def status(self) -> dict:
        return self.ask("GET", "/api/nearhub/status")

    def cli(
        self, *arguments: str, stdin: str = "", environment: dict[str, str] | None = None, under: list[str] = ()
    ) -> Run:
        """Runs `nearhub ARGUMENTS`, as the last arguments of `under`; the hub is found through NEARHUB_CONFIG."""
        done = subprocess.run(
            [*under, binary(), *map(str, arguments)],
            input=stdin,
            text=True,
            capture_output=True,
            timeout=60,
            cwd=self.directory,
            env={**self.environment, "NEARHUB_CONFIG": str(self.configuration), **(environment or {})},
        )
        self.complaints.append(done.stderr)
        return Run(done.returncode, done.stdout, done.stderr)

    def file(self, name: str, content: str) -> pathlib.Path:
        """A file in the hub's directory that only we can read, as secrets are handed to the command line."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    # State, made and looked at through the admin API

    def create_profile(self, name="P", strategy="ALLOW_CREATE_NEW_DEVICES", key="", secret="", **nearhub) -> Profile:
        """Creates a profile. Key and secret: canaries unless given, None as null; `nearhub`: our own settings."""
        key = canary("key") if key == "" else key
        secret = canary("secret") if secret == "" else secret
        created = self.ask("POST", "/api/deviceProfile", profile_body(name, strategy, key, secret, **nearhub))
        self.guard(key, secret)
        return Profile(created, key, secret)

    def add_device(self, name: str, profile: Profile | str, credentials: dict | None = None, state: str | None = None):
        """Adds a device as an operator does; `state`: its provisionState."""
        device = {"name": name, "type": profile if isinstance(profile, str) else profile.name}
        if credentials is None:
            device = self.ask("POST", "/api/device", device)
        else:
            body = {"device": device, "credentials": credentials}
            device = self.ask("POST", "/api/device-with-credentials", body)
            self.guard(credentials.get("credentialsId"))
        if state is not None:
            path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/attributes/SERVER_SCOPE"
            self.ask("POST", path, {"provisionState": state})
        return device

    def device(self, name: str) -> dict | None:
        """The device of that name, or None."""
        answer = self.admin("GET", "/api/tenant/devices?" + urllib.parse.urlencode({"deviceName": name}))
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        return answer.json

    def credentials(self, name: str) -> dict:
        return self.ask("GET", f"/api/device/{self.device(name)['id']['id']}/credentials")

    def attributes(self, name: str) -> dict:
        """The server attributes of a device."""
        path = f"/api/plugins/telemetry/DEVICE/{self.device(name)['id']['id']}/values/attributes/SERVER_SCOPE"
        return {entry["key"]: entry["value"] for entry in self.ask("GET", path)}

    def devices(self) -> list[dict]:
        """Every device, in the order of the log."""
        found, after = [], 0
        while after is not None:
            page = self.ask("GET", f"/api/nearhub/devices?after={after}&limit=500")
            found, after = found + page["devices"], page["next"]
        return found

    # Judgement

    def guard(self, *values: str | None):
        """Marks secrets: none of them may be found where it does not belong."""
        self.guarded.update(value for value in values if isinstance(value, str) and len(value) >= 8)

    def guard_answer(self, body: bytes):
        try:
            value = json.loads(body).get("credentialsValue")
        except (ValueError, AttributeError):
            return
        self.guard(*(value.values() if isinstance(value, dict) else [value]))

    def _look_for_leaks(self, where: str, text: str):
        for value in self.guarded.copy():  # threads of a test may add some
            if value in text:
                self.problems.append(f"a secret stands in {where}: {value}")

    def _look_into_proc(self, pid: int):
        for name in ("cmdline", "environ"):
            try:
                text = pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                continue  # not even we may look, or it is gone
            self._look_for_leaks(f"/proc/{pid}/{name}", text)

    def _look_at_modes(self):
        for path in [self.state, *self.state.rglob("*")]:
            mode = stat.S_IMODE(path.lstat().st_mode)
            wanted = 0o700 if path.is_dir() else 0o600
            if mode != wanted:
                self.problems.append(f"{path} has mode {mode:04o} instead of {wanted:04o}")


def first_address(listening: list[str]) -> tuple[str, int] | None:
    """The first of the addresses that `status` names, as sockets take it."""
    if not listening:
        return None
    host, port = listening[0].rsplit(":", 1)
    return host.strip("[]"), int(port)


def profile_body(name: str, strategy: str, key: str | None, secret: str | None, **nearhub) -> dict:
    """The body of POST /api/deviceProfile (protocol.md 10.3)."""
    body = {
        "name": name,
        "type": "DEFAULT",
        "transportType": "DEFAULT",
        "provisionType": strategy,
        "provisionDeviceKey": key,
        "profileData": {
            "configuration": {"type": "DEFAULT"},
            "transportConfiguration": {"type": "DEFAULT"},
            "provisionConfiguration": {"type": strategy, "provisionDeviceSecret": secret},
        },
    }
    return body | ({"nearhub": nearhub} if nearhub else {})
