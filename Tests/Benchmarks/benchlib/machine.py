"""What the machine did during a slice: the server's CPU time, and how much of the machine others used."""

import glob
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def _fields(pid: str) -> list[str]:
    """The fields of /proc/PID/stat behind the command's name, which may hold blanks (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and of its children, ended or alive: servers like PostgreSQL are many."""
    ticks = sum(map(int, _fields(str(pid))[11:15]))
    for entry in glob.glob("/proc/[0-9]*"):
        try:
            fields = _fields(entry[6:])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[1] == str(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def busy_seconds() -> float:
    """Busy CPU seconds of the whole machine, as /proc/stat counts them."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = list(map(int, stat.readline().split()[1:]))
    return (sum(ticks[:3]) + sum(ticks[5:8])) / TICKS


@dataclass
class Usage:
    """CPU seconds of a slice: the server's, and others' share of the machine, from 0 to 1."""

    server: float
    foreign: float


class Meter:
    """Measures one slice: made before it, read by `usage` after it."""

    def __init__(self, pid: int | None):
        self.pid = pid
        self.start = self._read()

    def _read(self) -> tuple[float, float, float, float]:
        times = os.times()
        server = cpu_seconds(self.pid) if self.pid else 0.0
        return times.elapsed, server, times.children_user + times.children_system, busy_seconds()

    def usage(self) -> Usage:
        wall, server, client, busy = (after - before for before, after in zip(self.start, self._read()))
        cores = os.cpu_count() or 1
        return Usage(server, max(0.0, busy - server - client) / (wall * cores))


def describe(directory: Path) -> str:
    """One line about the machine and the file system that the logs are written to."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            model = line.split(":", 1)[1].strip()
    kind = subprocess.run(["stat", "-fc", "%T", str(directory)], capture_output=True, text=True, check=True).stdout
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, logs on {kind.strip()} ({directory})"
