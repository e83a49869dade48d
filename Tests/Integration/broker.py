"""A Mosquitto of one test's own, on a free port of the loopback interface.

    broker = Broker().start()                              # with Nearhub's plugin; the hub is a user with a password
    broker = Broker(plugin=False, anonymous=True).start()  # a plain, open one
    broker = Broker(["log_type all"], persistence=True)    # more lines of mosquitto.conf
    broker = Broker(configuration=text)                    # a whole mosquitto.conf; PORT and DIRECTORY are replaced

It lives in a temporary directory, dies with us, and is judged when it is closed: it must have ended well unless the
test killed it, and neither its log nor its database file may hold a guarded secret.
"""

from __future__ import annotations

import os
import pathlib
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 10
STOP_SECONDS = 10
# Below the ports that the kernel gives to connections (32768 and up), so that nobody takes one during a restart.
PORTS = range(20000, 32000)


def program() -> str:
    """The path of mosquitto; Debian's is in a directory that users do not search."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError("no mosquitto to test with: .ci/deps test")
    return found


def plugin_file() -> pathlib.Path:
    """The plugin under test: $NEARHUB_PLUGIN, else what `make plugin` built."""
    chosen = pathlib.Path(os.environ.get("NEARHUB_PLUGIN") or REPOSITORY / ".build/plugin/nearhub_mosquitto.so")
    if not chosen.exists():
        raise RuntimeError(f"no plugin to test at {chosen}: make plugin")
    return chosen.resolve()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on just now."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Broker:
    """One Mosquitto: its directory, its configuration, its process.

    `lines`: more lines of mosquitto.conf, after ours. `plugin`: load Nearhub's plugin. `plugin_options`: values that
    differ from hub_user nearhub, hub_id nearhub, others allow. `users`: further users of the password file.
    `anonymous`: allow_anonymous; without the plugin there is no password file then. `persistence`: write the database
    file at every change. `configuration`: a whole mosquitto.conf instead of all this. `wrapper`: a command that runs
    mosquitto, such as valgrind.
    """

    def __init__(
        self,
        lines: Iterable[str] = (),
        *,
        plugin: bool = True,
        plugin_options: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        anonymous: bool = False,
        persistence: bool = False,
        configuration: str | None = None,
        wrapper: Iterable[str] = (),
    ):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="broker-", dir="/tmp"))  # short: sun_path has 108 bytes
        self.host = "127.0.0.1"
        self.port = 0
        self.log_file = self.directory / "log"
        self.database_file = self.directory / "mosquitto.db"
        self.configuration_file = self.directory / "mosquitto.conf"
        self.password_file = self.directory / "passwords"
        self.hub_password = secrets.token_urlsafe(12)
        self.users = {"nearhub": self.hub_password, **(users or {})}
        self.plugin = plugin
        self.plugin_options = {"hub_user": "nearhub", "hub_id": "nearhub", "others": "allow", **(plugin_options or {})}
        self.anonymous = anonymous
        self.persistence = persistence
        self.lines = list(lines)
        self.configuration = configuration
        self.wrapper = list(wrapper)
        self.process: subprocess.Popen | None = None
        self.guarded: set[str] = {self.hub_password}
        self.problems: list[str] = []
        self.log_file.touch()
        self._write_passwords()

    # Life

    def start(self) -> Broker:
        """Starts it, and waits until it accepts connections. The first start chooses the port."""
        for _ in range(1 if self.port else 5):
            chosen = self.port or free_port()
            self.configuration_file.write_text(self._configuration_text(chosen))
            if self._listening(chosen):
                self.port = chosen
                return self
        raise AssertionError(f"mosquitto did not start:\n{self.log[-3000:]}")

    def stop(self):
        """Ends it by SIGTERM; it writes its database file then."""
        process, self.process = self.process, None
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

    def kill9(self):
        """Ends it as a power cut would, as far as a process can."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def restart(self) -> Broker:
        """Stops it if it runs, and starts it on the same port."""
        if self.process is not None:
            self.stop()
        return self.start()

    def reload(self):
        """SIGHUP: it reads its configuration again."""
        self.process.send_signal(signal.SIGHUP)

    def save(self):
        """SIGUSR1: it writes its database file now."""
        self.process.send_signal(signal.SIGUSR1)

    def close(self):
        """Stops it, judges what it left, and removes it."""
        try:
            if self.process is not None and self.process.poll() is not None:
                self.problems.append(f"died by itself with status {self.process.returncode}")
                self.process = None
            if self.process is not None:
                self.stop()
            for secret in self.guarded:
                if secret in self.log:
                    self.problems.append(f"its log holds the secret {secret}")
                if self.holds(secret):
                    self.problems.append(f"its database file holds the secret {secret}")
            assert not self.problems, "\n".join([*self.problems, "the broker's log:", self.log[-6000:]])
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.directory, ignore_errors=True)

    # What it says and keeps

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        """Its address as `[mqtt] url` takes it."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def hub_settings(self) -> list[str]:
        """The settings with which a hub reaches this broker: Hub(*broker.hub_settings)."""
        password = self.file("hub-password", self.hub_password)
        return [f"mqtt.url={self.url}", "mqtt.username=nearhub", f"mqtt.password-file={password}"]

    def guard(self, *values: str | None):
        """Names values that may stand neither in the log nor in the database file."""
        self.guarded.update(value for value in values if value)

    def holds(self, text: str | bytes) -> bool:
        """Whether the database file holds a text."""
        text = text.encode() if isinstance(text, str) else text
        return self.database_file.exists() and text in self.database_file.read_bytes()

    def file(self, name: str, content: str) -> pathlib.Path:
        """A file in the broker's directory that only we can read."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    # Parts

    def _configuration_text(self, port: int) -> str:
        own = ["# written by the tests", f"user {pwd.getpwuid(os.geteuid()).pw_name}", "log_dest stderr"]
        if self.configuration is not None:
            text = self.configuration.replace("PORT", str(port)).replace("DIRECTORY", str(self.directory))
            return "\n".join([*own, text])
        own += ["log_type all", f"listener {port} 127.0.0.1", "set_tcp_nodelay true"]
        own += [f"allow_anonymous {str(self.anonymous).lower()}"]
        if self.plugin or not self.anonymous:
            own += [f"password_file {self.password_file}"]
        if self.plugin:
            own += [f"plugin {plugin_file()}"]
            own += [f"plugin_opt_{name} {value}" for name, value in self.plugin_options.items()]
        if self.persistence:
            own += ["persistence true", f"persistence_location {self.directory}/"]
            own += ["autosave_on_changes true", "autosave_interval 1"]
        return "\n".join([*own, *self.lines, ""])

    def _write_passwords(self):
        """The password file, hashed by mosquitto_passwd: it reads names and passwords from the file itself."""
        self.file("passwords", "".join(f"{user}:{password}\n" for user, password in self.users.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(self.password_file)], check=True, capture_output=True)

    def _listening(self, port: int) -> bool:
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.wrapper, program(), "-c", str(self.configuration_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"mosquitto not ready after {START_SECONDS} s:\n{self.log[-3000:]}"
            try:
                socket.create_connection((self.host, port), timeout=1).close()
                if self.process.poll() is None:
                    return True
            except OSError:
                time.sleep(0.01)
        self.process = None
        return False
