"""`make run`: whatever ends it, nothing of it stays behind."""

import os
import pathlib
import pty
import shutil
import signal
import tempfile

import pytest

from broker import free_port, plugin_file
from harness import REPOSITORY, binary, eventually


def session(leader: int) -> dict[int, str]:
    """The processes of a session that have not ended, with their names (proc(5))."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = path.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        state, _, _, of = rest.split()[:4]
        if int(of) == leader and state != "Z":
            found[int(path.parent.name)] = name
    return found


def read_until(terminal: int, words: bytes) -> None:
    seen = b""
    while words not in seen:
        seen += os.read(terminal, 4096)


@pytest.mark.parametrize("way", ["close the terminal", "Ctrl-C", "kill make"])
@pytest.mark.timeout(60)
def test_nothing_of_a_demo_stays_behind(way):
    """Of a closed terminal only make was told, which waited for all the others for ever."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="nearhub-", dir="/tmp"))
    (directory / "etc").mkdir()
    shutil.copy(REPOSITORY / "etc" / "demo", directory / "etc" / "demo")
    (directory / "Makefile").write_text("run:\n\t@etc/demo\n")
    ports = {name: str(free_port()) for name in ("PORT", "COAP_PORT", "MQTT_PORT")}
    environment = {**os.environ, **ports, "NEARHUB": binary(), "PLUGIN": str(plugin_file())}
    leader, terminal = pty.fork()
    if leader == 0:
        os.chdir(directory)
        os.execvpe("make", ["make", "run"], environment)
    try:
        read_until(terminal, b"Ctrl-C")
        assert {"make", "demo", "nearhub", "mosquitto"} <= set(session(leader).values())
        if way == "close the terminal":
            os.close(terminal)
        elif way == "Ctrl-C":
            os.write(terminal, b"\x03")
        else:
            os.kill(leader, signal.SIGKILL)
        eventually(lambda: not session(leader), 10)
    finally:
        for process in session(leader):
            os.kill(process, signal.SIGKILL)
        os.waitpid(leader, 0)
        if way != "close the terminal":
            os.close(terminal)
        shutil.rmtree(directory)
