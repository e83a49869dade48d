"""The HTTP face with well-formed requests in every shape that RFC 9112 allows, and its own limits."""

import concurrent.futures
import json
import time

import pytest

from harness import PROVISION, eventually
from wire import Closed, Wire, chunked, post


def request(profile, name="boiler", **members):
    return json.dumps(profile.request(name, **members)).encode()


# Bodies


def test_a_request_may_come_byte_by_byte(hub, profile):
    with Wire(hub) as wire:
        for byte in post(request(profile), "Content-Type: application/json"):
            wire.send(bytes([byte]))
        assert wire.response().json["status"] == "SUCCESS"


def test_a_chunked_body_is_read_and_the_connection_closed(hub, profile):
    with Wire(hub) as wire:
        wire.send(b"POST /api/v1/provision HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in chunked(request(profile)):
            wire.send(bytes([byte]))
        response = wire.response()
        assert response.json["status"] == "SUCCESS"
        assert response.closes
        assert wire.closed_after(2) is not None


def test_a_refused_chunked_request_closes_too(hub, profile):
    with Wire(hub) as wire:
        wire.send(b"POST /api/v1/provision HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunked(b"{"))
        response = wire.response()
        assert (response.status, response.closes) == (400, True)
        assert wire.closed_after(2) is not None


def test_a_client_that_waits_for_100_continue_gets_it(hub, profile):
    body = request(profile)
    whole = post(body, "Expect: 100-continue")
    with Wire(hub) as wire:
        wire.send(whole[: -len(body)])
        assert wire.response().status == 100
        wire.send(body)
        assert wire.response().json["status"] == "SUCCESS"


def test_a_client_that_announces_too_much_is_not_told_to_continue(hub):
    with Wire(hub) as wire:
        wire.send(
            b"POST /api/v1/provision HTTP/1.1\r\nHost: hub\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert wire.response().status == 413


def test_http_1_0_is_answered_and_closed(hub, profile):
    body = request(profile)
    with Wire(hub) as wire:
        wire.send(b"POST /api/v1/provision HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert wire.response().json["status"] == "SUCCESS"
        assert wire.closed_after(2) is not None


# Connections


def test_a_connection_serves_many_requests(hub, profile):
    with Wire(hub) as wire:
        for number in range(100):
            wire.send(post(request(profile, f"d{number}")))
            assert wire.response().json["deviceName"] == f"d{number}"
    assert hub.status()["devices"] == 100


def test_twenty_requests_in_one_write_are_answered_in_order(hub, profile):
    with Wire(hub) as wire:
        wire.send(b"".join(post(request(profile, f"d{number}")) for number in range(20)))
        assert [wire.response().json["deviceName"] for _ in range(20)] == [f"d{number}" for number in range(20)]
    assert [device["name"] for device in hub.devices()] == [f"d{number}" for number in range(20)]


def test_pipelined_requests_of_every_kind_keep_their_order(hub, profile):
    with Wire(hub) as wire:
        wire.send(
            b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n" + post(request(profile)) + post(b"{")
            + b"GET /nowhere HTTP/1.1\r\nHost: hub\r\n\r\n" + post(request(profile, "", provisionDeviceKey="x"))
            + b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n"
        )  # fmt: skip
        assert [wire.response().status for _ in range(6)] == [200, 200, 400, 404, 200, 200]


def test_a_client_that_leaves_before_the_answer_harms_nobody(hub, profile):
    for number in range(30):
        with Wire(hub) as wire:
            wire.send(post(request(profile, f"gone{number}")))
    assert hub.provision(profile.request("stays")).json["status"] == "SUCCESS"
    eventually(lambda: hub.status()["http"]["connections"] == 0)


def test_a_client_that_leaves_in_the_middle_of_a_body_harms_nobody(hub, profile):
    whole = post(request(profile))
    for end in range(1, len(whole), 7):
        with Wire(hub) as wire:
            wire.send(whole[:end])
    assert hub.provision(profile.request("boiler")).json["status"] == "SUCCESS"
    assert hub.status()["devices"] == 1
    eventually(lambda: hub.status()["http"]["connections"] == 0, seconds=17)  # at the latest by the total deadline


def test_a_connection_that_the_client_closed_is_noticed_at_once(hub):
    """Also if the end comes with the last bytes: else 256 hasty clients lock their address out for ten seconds."""
    whole = post(b"{}")
    for end in (1, 10, len(whole) - 1, len(whole)):
        for _ in range(10):
            wire = Wire(hub)
            wire.send(whole[:end])
            wire.socket.close()
    eventually(lambda: hub.status()["http"]["connections"] == 0, seconds=3)


# Routes


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health(hub, method):
    with Wire(hub) as wire:
        wire.send(f"{method} /health HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
        response = wire.response(head=method == "HEAD")
        assert response.status == 200
        assert response.headers["content-type"] == "application/json"
        if method == "GET":
            assert response.body == b'{"status":"ok"}'


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_on_provision_is_405(hub, method):
    with Wire(hub) as wire:
        wire.send(f"{method} {PROVISION} HTTP/1.1\r\nHost: hub\r\nContent-Length: 0\r\n\r\n".encode())
        response = wire.response(head=method == "HEAD")
        assert response.status == 405
        assert response.headers["allow"] == "POST"
        if method != "HEAD":
            assert (response.json["status"], response.json["errorCode"]) == (405, 31)


def test_post_on_health_is_405(hub):
    answer = hub.http("POST", "/health", b"{}")
    assert (answer.status, answer.json["errorCode"]) == (405, 31)
    assert {"GET", "HEAD"} <= {method.strip() for method in answer.headers["Allow"].split(",")}


@pytest.mark.parametrize("path", [
    "/", "/nowhere", "/api/v1/provisio", "/api/v1/provision/", "/api/v1/provision/x", "/API/V1/PROVISION",
    "/api/v1/../v1/provision", "//api/v1/provision", "/api%2fv1/provision", "/health/", "/metrics",
])  # fmt: skip
def test_another_path_is_404(shared_hub, path):
    answer = shared_hub.http("POST", path, b"{}")
    assert answer.status == 404
    assert (answer.json["status"], answer.json["errorCode"]) == (404, 32)
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", [
    "/api/nearhub/status", "/api/deviceProfile", "/api/deviceProfiles?pageSize=10&page=0", "/api/nearhub/devices",
    "/api/tenant/devices?deviceName=x", "/api/device", "/api/device-with-credentials",
])  # fmt: skip
def test_the_admin_api_is_not_on_tcp(shared_hub, path):
    for method in ("GET", "POST"):
        assert shared_hub.http(method, path, b"{}" if method == "POST" else None).status == 404


def test_a_query_does_not_change_the_path(hub, profile):
    answer = hub.http("POST", PROVISION + "?a=b", profile.request("boiler"))
    hub.guard_answer(answer.body)
    assert answer.json["status"] == "SUCCESS"


# Size


def test_a_body_of_exactly_64_kib_is_read(hub, profile):
    body = request(profile)
    padded = body + b" " * (65536 - len(body))
    assert hub.provision(padded).json["status"] == "SUCCESS"
    answer = hub.provision(padded + b" ")
    assert (answer.status, answer.json["errorCode"]) == (413, 31)


@pytest.mark.parametrize("length", [65537, 200_000, 2**20])
def test_a_body_over_64_kib_is_refused_so_that_the_client_can_read_it(shared_hub, length):
    """Closing with unread bytes would reset the connection and lose the answer, so up to 1 MiB is read and dropped."""
    with Wire(shared_hub) as wire:
        wire.send(post(b"x" * length))
        response = wire.response()
        assert (response.status, response.json["errorCode"]) == (413, 31)


@pytest.mark.parametrize("length", [2**20 + 1, 2**31, 2**32 + 5, 2**63 - 1, 2**63, 2**64 + 5, 10**30])
def test_an_announced_length_over_1_mib_is_refused_at_once(shared_hub, length):
    with Wire(shared_hub) as wire:
        wire.send(f"POST {PROVISION} HTTP/1.1\r\nHost: hub\r\nContent-Length: {length}\r\n\r\n".encode())
        assert wire.response().status == 413
        assert wire.closed_after(2) is not None


def test_a_chunked_body_over_64_kib_is_refused(hub):
    with Wire(hub) as wire:
        wire.send(b"POST /api/v1/provision HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(chunked(b" " * 65537, 8192))
        response = wire.response()
        assert (response.status, response.json["errorCode"], response.closes) == (413, 31, True)
        assert wire.closed_after(2) is not None


def test_an_endless_chunked_body_is_cut_off(hub):
    with Wire(hub) as wire:
        wire.send(b"POST /api/v1/provision HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece, sent = b"2000\r\n" + b" " * 0x2000 + b"\r\n", 0
        began = time.monotonic()
        try:
            while time.monotonic() < began + 5:
                wire.socket.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        assert time.monotonic() < began + 5, f"{sent} bytes were taken"


# Limits: time and number


def trickle(hub, prefix, rest):
    """The seconds after which the hub closes a connection that sends `prefix` and then a byte a second of `rest`."""
    with Wire(hub, timeout=1) as wire:
        began = time.monotonic()
        wire.send(prefix)
        for byte in rest[:25]:
            wire.send(bytes([byte]))
            if wire.closed_after(1) is not None:
                return time.monotonic() - began
    return None


def test_a_request_that_trickles_is_closed_after_15_seconds(hub, profile):
    """However it trickles: in the first line, the headers, a body or a chunk."""
    whole = post(request(profile))
    header, body = whole.index(b"Content"), whole.index(b"\r\n\r\n") + 4
    chunks = b"POST /api/v1/provision HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n"
    starts = [
        (b"", whole), (whole[:header], whole[header:]), (whole[:body], whole[body:]), (chunks, b"ff\r\n" + b" " * 255)
    ]  # fmt: skip
    with concurrent.futures.ThreadPoolExecutor(len(starts)) as pool:
        running = [pool.submit(trickle, hub, *start) for start in starts]
        time.sleep(2)
        assert hub.http("GET", "/health").status == 200
        closed = [one.result() for one in running]
    assert all(seconds and 14.5 < seconds < 17.5 for seconds in closed), closed


def held(hub, source):
    """An open connection that the hub has accepted, or None if it closed it."""
    wire = Wire(hub, source)
    wire.send(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n")
    try:
        assert wire.response().status == 200
    except Closed:
        wire.socket.close()
        return None
    return wire


def test_one_address_cannot_take_all_connections(hubs):
    hub = hubs("http.max-connections=8", "http.max-connections-per-address=4").start()
    mine = [held(hub, "127.0.0.2") for _ in range(4)]
    assert all(mine)
    assert held(hub, "127.0.0.2") is None
    other = held(hub, "127.0.0.3")
    assert other, "another address must be served"
    mine.pop().socket.close()
    again = eventually(lambda: held(hub, "127.0.0.2"))
    for wire in [*mine, other, again]:
        wire.socket.close()


def test_the_total_of_connections_is_limited_and_a_closed_one_makes_room(hubs):
    hub = hubs("http.max-connections=8", "http.max-connections-per-address=4").start()
    wires = [held(hub, source) for source in ["127.0.0.2"] * 4 + ["127.0.0.3"] * 4]
    assert all(wires)
    assert held(hub, "127.0.0.4") is None
    assert hub.status()["http"]["connections"] == 8, "the admin socket is not part of it"
    wires.pop().socket.close()
    wires.append(eventually(lambda: held(hub, "127.0.0.4")))
    for wire in wires:
        wire.socket.close()
