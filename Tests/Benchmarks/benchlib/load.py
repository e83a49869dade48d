"""The load: one slice of requests from wrk, or of appends from synclimit, as a Slice of figures."""

import os
import re
import subprocess
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from .machine import Meter

HERE = Path(__file__).resolve().parent.parent
_prefixes = count()


class LoadError(Exception):
    """A slice that gave no figures, or whose answers were wrong."""


@dataclass
class Slice:
    """The figures of one slice; times in microseconds."""

    rate: float
    p50: float
    p99: float
    requests: int
    cpu: float
    foreign: float


def run(command: list[str], pid: int | None, environment: dict[str, str] | None = None) -> Slice:
    """Runs a load generator that prints a RESULT line, next to a meter on the server `pid`."""
    meter = Meter(pid)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, env=os.environ | (environment or {})
    )
    usage = meter.usage()
    found = re.search(r"RESULT (.*)", done.stdout)
    if not found:
        raise LoadError(f"{command[0]} gave no result: {(done.stdout + done.stderr).strip()[-300:]}")
    figures = dict(word.split("=") for word in found[1].split())
    if int(figures["bad"]):
        raise LoadError(f"{command[0]}: {figures['bad']} requests failed")
    if int(figures.get("success", figures.get("requests", 0))) < int(figures.get("requests", 0)):
        raise LoadError(f"only {figures['success']} of {figures['requests']} answers say SUCCESS")
    requests = int(figures.get("requests", 0))
    return Slice(
        float(figures["rps"]), float(figures["p50_us"]), float(figures["p99_us"]), requests,
        usage.server * 1e6 / max(requests, 1), usage.foreign,
    )


def wrk(
    server, connections: int, seconds: int, *, close: bool = False, check: bool = False, script: str = "provision.lua"
) -> Slice:
    """One slice of wrk against a server: every request provisions a device of a new name."""
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(HERE / script),
        server.url,
    ]
    if close:
        command += ["-H", "Connection: close"]
    environment = {"PREFIX": f"{os.getpid():x}-{next(_prefixes)}"} | server.secrets
    if check:
        environment["CHECK"] = "1"
    result = run(command, server.pid, environment)
    server.answered += result.requests
    return result


def fdatasync(tool: Path, directory: Path, seconds: float) -> Slice:
    """One slice of appends, each followed by fdatasync: the least that one durable answer can cost."""
    return run([str(tool), str(directory), str(seconds)], None)
