"""The durable peers: redis (appendfsync always), PostgreSQL, etcd by its JSON gateway, Flask with SQLite.

Each runs as a child process on a free port of the loopback address with a data directory of its own, and
makes one durable write of about 450 bytes for each request, as the daemon does.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .figures import Figure, Floor
from .load import LoadError, Slice, run, wrk
from .servers import HERE, Server, ServerError, accepts, free_port, wait_until

FLASK = ["flask==3.1.0", "gunicorn==23.0.0"]


class Peer:
    """A peer, the floors against it by number of connections, and the figures so far."""

    def __init__(self, server: Server, port: int, floors: dict[int, float]):
        self.server, self.port = server, port
        self.figures = {
            connections: Figure(f"{connections} connections", "requests/s", server.name, Floor(">=", bound))
            for connections, bound in floors.items()
        }
        wait_until(lambda: accepts(port), server.process, server.name, 30)

    def measure(self, connections: int, ours: float, seconds: int) -> None:
        """Adds a pair for this number of connections if there is a floor for it."""
        if connections in self.figures:
            self.figures[connections].add(ours, self.slice(connections, seconds).rate)

    def slice(self, connections: int, seconds: int) -> Slice:
        """One slice of load by wrk; peers that do not speak HTTP have their own."""
        return wrk(self.server, connections, seconds)


class Redis(Peer):
    """SET of 450 bytes under random keys; the append-only file is synced before each answer."""

    def __init__(self, stack: ExitStack, directory: Path):
        port = free_port()
        command = [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync",
            "always", "--save", "", "--dir", str(directory), "--auto-aof-rewrite-percentage", "0",
        ]
        super().__init__(Server(stack, "redis", command, directory), port, {128: 0.60, 16: 0.70})

    def slice(self, connections: int, seconds: int) -> Slice:
        requests = seconds * (60000 if connections > 16 else 25000)
        command = (
            f"redis-benchmark -h 127.0.0.1 -p {self.port} -t set -d 450 -c {connections} -r 1000000000"
            f" -n {requests} --csv | tail -1 | tr -d '\"' | awk -F, "
            "'{printf \"RESULT requests=0 rps=%.0f p50_us=%.0f p99_us=%.0f bad=0\", $2, $5 * 1000, $7 * 1000}'"
        )
        return run(["sh", "-c", command], self.server.pid)


class PostgreSQL(Peer):
    """A prepared INSERT for each device by pgbench; fsync and synchronous_commit on, as they are by default."""

    def __init__(self, stack: ExitStack, directory: Path):
        self.binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        # PostgreSQL refuses to run as root, and the directory of the bench belongs to root then.
        self.prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.data = Path(tempfile.mkdtemp(prefix="nearhub-postgres-", dir=directory.parent))
        stack.callback(shutil.rmtree, self.data, ignore_errors=True)
        if self.prefix:
            shutil.chown(self.data, "postgres")
        port = free_port()
        self._run(str(self.binaries / "initdb"), "-D", str(self.data / "db"), "-A", "trust", "-U", "postgres")
        command = [
            *self.prefix, str(self.binaries / "postgres"), "-D", str(self.data / "db"), "-p", str(port),
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.data}",
            "-c", "max_connections=200",
        ]
        super().__init__(Server(stack, "PostgreSQL", command, directory), port, {128: 4.0})
        self._run(
            "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-qc",
            "create table device(id uuid primary key default gen_random_uuid(), name text unique, token text unique,"
            " doc text)",
        )

    def _run(self, *command: str) -> None:
        done = subprocess.run([*self.prefix, *command], capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise ServerError(f"{command[0]}: {done.stderr.strip()[-300:]}")

    def slice(self, connections: int, seconds: int) -> Slice:
        command = [
            "pgbench", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-n", "-M", "prepared",
            "-f", str(HERE / "peers/device.sql"), "-c", str(connections), "-j", "1", "-T", str(seconds), "postgres",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
        if not found:
            raise LoadError(f"pgbench: {done.stderr.strip()[-300:]}")
        return Slice(float(found[1]), 0, 0, 0, 0, 0)


class Etcd(Peer):
    """A put of 450 bytes under a new key by etcd's HTTP/JSON gateway."""

    def __init__(self, stack: ExitStack, directory: Path):
        port, peer_port = free_port(), free_port()
        url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
        command = [
            "etcd", "--name", "e", "--data-dir", str(directory / "etcd"), "--listen-client-urls", url,
            "--advertise-client-urls", url, "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
            "--initial-cluster", f"e={peer_url}", "--log-level", "error",
        ]
        server = Server(stack, "etcd", command, directory, {"ETCD_UNSUPPORTED_ARCH": "arm64"})
        server.url = f"{url}/v3/kv/put"
        super().__init__(server, port, {128: 4.0})

    def slice(self, connections: int, seconds: int) -> Slice:
        return wrk(self.server, connections, seconds, script="peers/etcd.lua")


class Flask(Peer):
    """What a site engineer would write: Flask and SQLite in WAL mode, under gunicorn."""

    def __init__(self, stack: ExitStack, directory: Path):
        environment = directory / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([str(environment / "bin/pip"), "install", "-q", *FLASK], check=True)
        port = free_port()
        command = [
            str(environment / "bin/gunicorn"), "-w", "2", "--threads", "8", "--log-level", "error",
            "-b", f"127.0.0.1:{port}", "--chdir", str(HERE / "peers"), "flaskapp:app",
        ]
        variables = {"DB": str(directory / "flask.db"), "PYTHONDONTWRITEBYTECODE": "1"}
        server = Server(stack, "Flask+SQLite", command, directory, variables)
        server.url = f"http://127.0.0.1:{port}/api/v1/provision"
        super().__init__(server, port, {128: 20.0})


def start(stack: ExitStack, directory: Path) -> list[Peer]:
    """Installs what is missing and starts all peers; the stack stops them."""
    subprocess.run([str(HERE.parent.parent / ".ci/deps"), "peers"], check=True)
    return [kind(stack, directory) for kind in (Redis, PostgreSQL, Etcd, Flask)]
