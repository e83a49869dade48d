"""The hub as a service: readiness, watchdog, signals, log."""

import re
import select
import signal
import socket
import time

import pytest

from harness import eventually
from wire import Wire, post


class Supervisor:
    """The service manager's side of sd_notify(3): a datagram socket."""

    def __init__(self, hub):
        self.path = hub.directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        hub.environment["NOTIFY_SOCKET"] = str(self.path)

    def next(self, seconds):
        """The next message's lines, or None if none comes in time."""
        readable, _, _ = select.select([self.socket], [], [], seconds)
        return self.socket.recv(4096).decode().splitlines() if readable else None

    def wait_for(self, line, seconds):
        """Waits for that line; the messages that came before it."""
        deadline, others = time.monotonic() + seconds, []
        while (message := self.next(deadline - time.monotonic())) is not None:
            if line in message:
                return others
            others.append(message)
        raise AssertionError(f"no {line} within {seconds} s, only {others}")


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# systemd


def test_ready_is_said_when_the_ports_are_open(hubs, free_port):
    hub = hubs(f"http.listen=127.0.0.1:{free_port}")
    supervisor = Supervisor(hub)
    hub.spawn()
    supervisor.wait_for("READY=1", 20)
    with socket.create_connection(("127.0.0.1", free_port), 1) as connection:  # at the first try
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert hub.status()["http"]["listening"] == [f"127.0.0.1:{free_port}"]


def test_ready_is_said_once_and_stopping_before_the_end(hubs):
    hub = hubs()
    supervisor = Supervisor(hub)
    hub.start()
    supervisor.wait_for("READY=1", 5)
    hub.stop()
    before = supervisor.wait_for("STOPPING=1", 1)
    assert not any("READY=1" in message for message in before)


def test_a_hub_that_refuses_to_start_is_never_ready(hubs):
    hub = hubs("http.max-connections=0")
    supervisor = Supervisor(hub)
    hub.refused()
    assert supervisor.next(0.1) is None


def test_the_watchdog_is_fed_in_time(hubs):
    hub = hubs()
    supervisor = Supervisor(hub)
    hub.environment["WATCHDOG_USEC"] = "600000"
    hub.start()
    supervisor.wait_for("READY=1", 5)
    last = time.monotonic()
    for _ in range(6):
        supervisor.wait_for("WATCHDOG=1", 1)
        now = time.monotonic()
        assert now - last < 0.6
        last = now


def test_the_watchdog_of_another_process_is_not_fed(hubs):
    hub = hubs()
    supervisor = Supervisor(hub)
    hub.environment |= {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
    hub.start()
    supervisor.wait_for("READY=1", 5)
    assert supervisor.next(0.6) is None


def test_an_abstract_notify_socket_is_understood(hubs):
    hub = hubs()
    supervisor = Supervisor(hub)
    supervisor.socket.close()
    supervisor.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"nearhub-test-{hub.directory.name}"
    supervisor.socket.bind("\0" + name)
    hub.environment["NOTIFY_SOCKET"] = "@" + name
    hub.start()
    supervisor.wait_for("READY=1", 5)


def test_without_a_supervisor_nothing_is_missed(hub):
    assert "notify" not in hub.stderr.lower()


def test_a_supervisor_that_is_gone_does_not_stop_the_hub(hubs):
    hub = hubs()
    hub.environment["NOTIFY_SOCKET"] = str(hub.directory / "nowhere")
    hub.start()
    assert hub.http("GET", "/health").status == 200


# Signals


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_the_hub_stops_within_2_seconds_while_connections_are_open(hub, profile, signal_number):
    idle = [Wire(hub) for _ in range(10)]
    for wire in idle[:5]:
        wire.send(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert wire.response().status == 200
    idle[5].send(post(b"{" * 100)[:-50])
    process, hub.process = hub.process, None
    began = time.monotonic()
    process.send_signal(signal_number)
    assert process.wait(5) == 0
    assert time.monotonic() - began < 2
    for wire in idle:
        wire.socket.close()
    hub.start()


def test_whoever_was_answered_before_a_stop_is_there_after_it(hub, profile):
    answers = {name: hub.provision(profile.request(name)).json["deviceId"] for name in ("a", "b", "c")}
    hub.restart()
    assert {name: hub.device(name)["id"]["id"] for name in answers} == answers


def test_a_second_sigterm_does_not_spoil_a_clean_stop(hub):
    process, hub.process = hub.process, None
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0


@pytest.mark.parametrize("signal_number", [signal.SIGHUP, signal.SIGPIPE])
def test_other_signals_do_not_end_the_hub(hub, profile, signal_number):
    for _ in range(5):
        hub.process.send_signal(signal_number)
    time.sleep(0.2)
    assert hub.provision(profile.request("boiler")).json["status"] == "SUCCESS"


def test_signals_under_load_lose_no_answer(hub, profile):
    for number in range(50):
        hub.process.send_signal(signal.SIGHUP)
        assert hub.provision(profile.request(f"d{number}")).json["status"] == "SUCCESS"


# Log


def test_every_log_line_has_a_priority_and_no_control_bytes(hub, profile):
    hub.provision(profile.request("boiler"))
    hub.provision(profile.request("bell\u0007 line\u000afeed \u2028 end"))
    hub.provision(b"{")
    hub.admin("GET", "/nowhere")
    hub.restart()
    hub.stop()
    lines = hub.stderr.splitlines()
    assert lines
    for line in hub.stderr_file.read_bytes().split(b"\n")[:-1]:
        assert re.match(rb"<[0-7]>\S", line), line
        assert not re.search(rb"[\x00-\x1f\x7f]", line), line
        assert "\u2028".encode() not in line


def test_at_level_info_each_event_is_one_line(hubs):
    hub = hubs("log.level=info").start()
    profile = hub.create_profile()

    def lines_of(action):
        before = len(hub.stderr.splitlines())
        action()
        time.sleep(0.1)
        return hub.stderr.splitlines()[before:]

    created = lines_of(lambda: hub.provision(profile.request("boiler")))
    assert len(created) == 1 and "boiler" in created[0], created
    refused = lines_of(lambda: hub.provision(hub.create_profile("Q").request("boiler")))
    assert sum("NAME_TAKEN" in line for line in refused) == 1, refused
    assert len(lines_of(lambda: hub.http("GET", "/health"))) == 0


def test_the_level_silences_the_log(hubs):
    hub = hubs("log.level=critical")
    hub.spawn()
    eventually(hub.socket.exists, seconds=20)
    eventually(lambda: hub.admin("GET", "/api/nearhub/status").status == 200)
    assert hub.stderr == ""


def test_start_and_stop_are_logged(hub):
    hub.stop()
    lines = hub.stderr.splitlines()
    assert any("0.1.0" in line for line in lines)
    assert "stop" in lines[-1].lower()
