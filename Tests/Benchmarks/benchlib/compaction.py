"""A log that is written anew while devices provision: how long that takes, what it costs them, and in memory."""

import http.client
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from .load import wrk
from .servers import Server, accepts, free_port, wait_until

SECONDS = 4
START_SECONDS = 120
CONNECTIONS = 8
STALL_MILLISECONDS = 5.0


def queued(thread: str) -> float:
    """Milliseconds that a thread has waited for a processor (/proc/PID/task/TID/schedstat, its second number)."""
    return int(Path(f"/proc/{thread}/schedstat").read_text().split()[1]) / 1e6


class Probe:
    """Asks for /health all the time; the longest answer is the longest that the loop did something else.

    Where the load, the hub and this program share two processors, they wait for one now and then: the loop's thread and
    this one are asked how long, and that is taken off again, since it is no stall of the loop.
    """

    def __init__(self, port: int, pid: int):
        self.port = port
        self.loop = f"{pid}/task/{pid}"
        self.times: list[float] = []
        self.stalls: list[float] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.over.is_set():
            waits, began = self._waits(), time.monotonic()
            connection.request("GET", "/health")
            connection.getresponse().read()
            self.times.append(1000 * (time.monotonic() - began))
            self.stalls.append(self.times[-1] - (self._waits() - waits))
            self.over.wait(0.001)
        connection.close()

    def _waits(self) -> float:
        return queued(self.loop) + queued("thread-self")

    @staticmethod
    def worst(times: list[float]) -> str:
        ordered = sorted(times)
        return f"{ordered[-1]:.1f} (99 %: {ordered[len(ordered) * 99 // 100]:.1f})"


class Load(threading.Thread):
    """Slices of wrk, one after the other, until it is told to end."""

    def __init__(self, server: Server):
        super().__init__()
        self.server, self.rates, self.over = server, [], threading.Event()

    def run(self):
        while not self.over.is_set():
            self.rates.append(wrk(self.server, CONNECTIONS, 1).rate)


def peak(pid: int) -> int:
    """VmHWM of proc(5), in bytes; includes pages of the binary."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def measure(binary: Path, state: Path, devices: int) -> list[tuple[str, ...]]:
    """The rows for the log in a state directory, of which a good part is replaced."""
    with ExitStack() as stack:
        port = free_port()
        sock = state.parent / "compaction.sock"
        command = [str(binary), "serve", "--config", "/dev/null", "--state", str(state), "--set", "coap.listen="]
        command += ["--set", f"http.listen=127.0.0.1:{port}", "--set", f"admin.socket={sock}"]
        command += ["--set", "http.max-connections-per-address=1024", "--set", "log.level=warning"]
        server = Server(stack, "compaction", command, state.parent, {"SWIFT_BACKTRACE": "enable=no"})
        server.url = f"http://127.0.0.1:{port}/api/v1/provision"
        server.secrets = {f"BENCH_{part.upper()}": str(state.parent / f"nearhub.{part}") for part in ("key", "secret")}
        wait_until(lambda: accepts(port), server.process, "nearhub", START_SECONDS)
        size = (state / "devices.jsonl").stat().st_size
        with Probe(port, server.pid) as alone:
            time.sleep(1)
        with Probe(port, server.pid) as before:
            without = wrk(server, CONNECTIONS, SECONDS).rate
        low = peak(server.pid)
        load = Load(server)
        load.start()
        try:
            time.sleep(0.5)
            with Probe(port, server.pid) as during:
                began = time.monotonic()
                subprocess.run(
                    [str(binary), "log", "compact", "--socket", str(sock)], check=True, capture_output=True, timeout=300
                )
                took = time.monotonic() - began
        finally:
            load.over.set()
            load.join()
        rate = sum(load.rates) / len(load.rates)
        verdict = "ok" if max(during.stalls) <= STALL_MILLISECONDS else "ABOVE"
        return [
            ("  compaction under load, s", f"{took:.1f}", "", ""),
            ("    MB of log a second", f"{size / took / 1e6:.0f}", "", ""),
            ("    HTTP devices/s meanwhile", f"{rate:,.0f}", f"without {without:,.0f}", ""),
            ("    worst stall of the loop, ms", Probe.worst(during.stalls), f"<= {STALL_MILLISECONDS:.0f}", verdict),
            ("    worst /health, ms", Probe.worst(during.times), "", ""),
            ("      under the same load without", Probe.worst(before.times), "", ""),
            ("      without load", Probe.worst(alone.times), "", ""),
            ("    more memory at its peak, MB", f"{(peak(server.pid) - low) / 1e6:.1f}", "", ""),
        ]
