"""CoAP on the wire (RFC 7252; protocol.md 7.2, D10): message types, retransmission, codes, paths."""

import collections
import json
import socket
import time

import pytest

import coap
import slowdisk
from coap import ACK, CON, NON, RST, Message, Peer
from harness import Hub

UNKNOWN_CRITICAL, UNKNOWN_ELECTIVE = 65001, 65000  # odd numbers are critical (RFC 7252 5.4.1)
URI_HOST, URI_QUERY = 3, 15


@pytest.fixture
def peer(hub):
    with Peer(hub) as peer:
        yield peer


@pytest.fixture
def slow_hub(hubs):
    """A running hub on a disk that takes 1.3 s to sync, with a profile made before."""
    hub = hubs().start()
    profile = hub.create_profile()
    hub.stop()
    hub.environment |= slowdisk.environment(1.3)
    yield hub.start(), profile
    if hub.process is not None:
        hub.kill9()  # a clean end takes the disk's time too


# Message types


@pytest.mark.parametrize("token", [b"", b"t", b"12345678"], ids=["none", "one", "eight"])
def test_a_con_is_answered_in_its_ack(hub, profile, peer, token):
    request = peer.request(profile.request("boiler"), token=token)
    peer.send(request)
    answer = peer.receive()
    assert (answer.kind, answer.text, answer.mid, answer.token) == (ACK, "2.01", request.mid, token)
    assert answer.options == [(coap.CONTENT_FORMAT, b"")]
    assert answer.json["credentialsValue"] == hub.credentials("boiler")["credentialsId"]
    assert peer.silent(0.3)


def test_a_non_is_answered_by_a_non(hub, profile, peer):
    request = peer.request(profile.request("boiler"), kind=NON)
    peer.send(request)
    answer = peer.receive()
    assert (answer.kind, answer.text, answer.token) == (NON, "2.01", request.token)
    assert peer.silent(0.3)


def test_a_refused_non_is_answered_by_a_non(hub, profile, peer):
    hub.add_device("boiler", profile)
    answer = peer.ask(profile.request("boiler"), kind=NON)
    assert (answer.kind, answer.text, answer.json["reason"]) == (NON, "4.00", "NAME_TAKEN")


def test_a_ping_is_answered_by_a_reset(hub, peer):
    time.sleep(0.3)  # libcoap sends at most four a second to a peer, and none in its first 250 ms
    peer.send(Message(CON, 0, 7))
    answer = peer.receive()
    assert (answer.kind, answer.code, answer.mid) == (RST, 0, 7)


def test_unasked_acknowledgements_and_resets_are_ignored(hub, profile, peer):
    for kind in (ACK, RST):
        peer.send(Message(kind, 0, 99))
    peer.send(Message(ACK, 0x41, 98, b"t", [], b"{}"))
    assert peer.ask(profile.request("boiler")).text == "2.01"


# Retransmission (D10)


@pytest.mark.parametrize("name", ["boiler", None], ids=["named", "nameless"])
def test_a_retransmitted_con_is_answered_identically_and_run_once(hub, profile, peer, name):
    request = peer.request(profile.request(name))
    answers = []
    for _ in range(5):
        peer.send(request)
        answers.append(peer.receive_bytes())
    assert Message.decode(answers[0]).text == "2.01"
    assert set(answers) == {answers[0]}
    assert len(hub.devices()) == 1


def test_a_burst_of_copies_is_run_once(hub, profile, peer):
    request = peer.request(profile.request())
    for _ in range(20):
        peer.send(request)
    answers = {json.dumps(peer.receive().json)}
    while not peer.silent(0.3):
        pass
    assert len(answers) == len(hub.devices()) == 1


def test_a_retransmitted_refusal_is_answered_identically(hub, profile, peer):
    hub.add_device("boiler", profile)
    request = peer.request(profile.request("boiler"))
    peer.send(request)
    first = peer.receive_bytes()
    peer.send(request)
    assert peer.receive_bytes() == first
    assert Message.decode(first).text == "4.00"


def test_a_message_id_belongs_to_one_peer(hub, profile, peer):
    with Peer(hub) as other:
        request = peer.request(profile.request())
        for one in (peer, other):
            one.send(request)
        assert peer.receive().json["credentialsValue"] != other.receive().json["credentialsValue"]
    assert len(hub.devices()) == 2


def test_a_new_message_id_is_a_new_request(hub, profile, peer):
    values = {peer.ask(profile.request()).json["credentialsValue"] for _ in range(3)}
    assert len(values) == len(hub.devices()) == 3


def test_a_copy_is_recognized_after_four_thousand_other_requests(hub, profile, peer):
    request = peer.request(profile.request())
    peer.send(request)
    first = peer.receive_bytes()
    with Peer(hub) as other:
        for _ in range(4000):
            assert other.ask(b"{}").text == "4.00"
    peer.send(request)
    assert peer.receive_bytes() == first
    assert len(hub.devices()) == 1


# A slow disk


def test_a_slow_disk_and_every_kind_of_device(slow_hub):
    """An empty ACK after about a second, then a CON, sent again until it is acknowledged; a NON gets its NON."""
    hub, profile = slow_hub
    with Peer(hub) as patient, Peer(hub) as silent, Peer(hub) as resetting, Peer(hub) as repeating, Peer(hub) as non:
        confirmed = (patient, silent, resetting, repeating)
        requests = {peer: peer.request(profile.request()) for peer in confirmed}
        requests[non] = non.request(profile.request(), kind=NON)
        for peer, request in requests.items():
            peer.send(request)
        for _ in range(3):
            repeating.send(requests[repeating])
        for peer in confirmed:
            empty = peer.receive()
            assert (empty.kind, empty.code, empty.mid, empty.token) == (ACK, 0, requests[peer].mid, b"")
        repeating.send(requests[repeating])
        answers = {peer: not_empty(peer) for peer in requests}
        for peer, answer in answers.items():
            assert (answer.kind, answer.text, answer.token) == (requests[peer].kind, "2.01", requests[peer].token)
        for peer in (patient, repeating):
            peer.send(Message(ACK, 0, answers[peer].mid))
        resetting.send(Message(RST, 0, answers[resetting].mid))
        assert silent.receive() == answers[silent]  # again, since nobody acknowledged it
        silent.send(Message(ACK, 0, answers[silent].mid))
        assert all(peer.silent(0.1) for peer in (patient, resetting, repeating, non))
    assert len(hub.devices()) == len(requests)


def not_empty(peer):
    """The next message that is not an empty ACK."""
    while (message := peer.receive()).code == 0:
        assert message.kind == ACK
    return message


# Paths, methods, options


@pytest.mark.parametrize("path", [("api", "v1", "provision"), ("/api/v1/provision",)], ids=["three", "one"])
def test_both_forms_of_the_path_lead_to_provisioning(hub, profile, peer, path):
    assert peer.ask(profile.request("boiler"), path=path).text == "2.01"


@pytest.mark.parametrize("path", [
    (), ("api",), ("api", "v1"), ("api", "v1", "other"), ("api", "v1", "PROVISION"), ("provision",), ("health",),
    ("/api/v1/other",), ("api", "v1", "provision", "x", "y"), ("..", "v1", "provision2"), ("x" * 255,),
], ids="/".join)  # fmt: skip
def test_an_unknown_path_is_4_04(hub, profile, peer, path):
    assert peer.ask(profile.request("boiler"), path=path).text == "4.04"
    assert not hub.devices()


@pytest.mark.parametrize("code", [coap.GET, coap.PUT, coap.DELETE, 5, 6, 7], ids=coap.code_text)
def test_another_method_is_4_05(hub, profile, peer, code):
    assert peer.ask(profile.request("boiler"), code=code).text == "4.05"
    assert not hub.devices()


def test_an_unknown_critical_option_is_4_02(hub, profile, peer):
    answer = peer.ask(profile.request("boiler"), options=[(UNKNOWN_CRITICAL, b"x")])
    assert (answer.kind, answer.text) == (ACK, "4.02")
    assert not hub.devices()


@pytest.mark.parametrize("option", [
    (UNKNOWN_ELECTIVE, b"x"), (URI_HOST, b"somewhere.else"), (URI_QUERY, b"a=b"), (coap.CONTENT_FORMAT, b"\x32"),
    (coap.CONTENT_FORMAT, b"\x2a"), (coap.ACCEPT, b"\x32"), (coap.ACCEPT, b"\x3c"),
], ids=["elective", "host", "query", "json", "bytes", "accept-json", "accept-cbor"])  # fmt: skip
def test_options_that_change_nothing(hub, profile, peer, option):
    answer = peer.ask(profile.request("boiler"), options=[option])
    assert (answer.text, answer.option(coap.CONTENT_FORMAT)) == ("2.01", b"")


def test_the_same_session_goes_on_after_refusals(hub, profile, peer):
    codes = [
        peer.ask(profile.request("a"), code=coap.PUT).text,
        peer.ask(b"").text,
        peer.ask(b"{", path=("x",)).text,
        peer.ask(profile.request("a"), options=[(UNKNOWN_CRITICAL, b"")]).text,
        peer.ask(profile.request("a")).text,
    ]
    assert codes == ["4.05", "4.00", "4.04", "4.02", "2.01"]


# Listening


def test_coap_listens_on_ipv6_too(hubs):
    hub = hubs("coap.listen=[::1]:0").start()
    profile = hub.create_profile()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as device:
        device.settimeout(10)
        device.connect(hub.coap_address)
        path = [(coap.URI_PATH, segment.encode()) for segment in coap.PATH]
        device.send(Message(CON, coap.POST, 1, b"t", path, json.dumps(profile.request("boiler")).encode()).encode())
        answer = Message.decode(device.recv(65536))
        hub.guard_answer(answer.payload)
        assert answer.text == "2.01"


def test_coap_listens_on_several_addresses(hubs):
    hub = hubs("coap.listen=127.0.0.1:0 127.0.0.2:0").start()
    profile = hub.create_profile()
    assert len(hub.status()["coap"]["listening"]) == 2
    for address in hub.status()["coap"]["listening"]:
        host, port = address.rsplit(":", 1)
        hub.coap_address = (host, int(port))
        with Peer(hub, host) as peer:
            assert peer.ask(profile.request()).text == "2.01"


def test_an_empty_list_turns_coap_off(hubs):
    hub = hubs("coap.listen=").start()
    assert hub.status()["coap"]["listening"] == []
    assert hub.provision(hub.create_profile().request("boiler")).json["status"] == "SUCCESS"


def test_a_taken_port_is_reported_and_http_goes_on(hubs):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        hub: Hub = hubs(f"coap.listen=127.0.0.1:{port} 127.0.0.1:0").start()
        assert hub.status()["coap"]["failed"][0]["address"] == f"127.0.0.1:{port}"
        assert len(hub.status()["coap"]["listening"]) == 1
        profile = hub.create_profile()
        assert hub.provision(profile.request("boiler")).json["status"] == "SUCCESS"
        with Peer(hub) as peer:
            assert peer.ask(profile.request("pump")).text == "2.01"


def test_the_hub_stops_while_answers_wait(slow_hub):
    hub, profile = slow_hub
    with Peer(hub) as peer:
        peer.send(peer.request(profile.request("boiler")))
        assert peer.receive().code == 0  # the empty ACK: its record is on the way to the disk
        hub.stop()
    hub.environment.pop("LD_PRELOAD")
    hub.start()
    with Peer(hub) as peer:
        assert peer.ask(profile.request("boiler")).text == "2.01"
    assert collections.Counter(device["name"] for device in hub.devices()) == {"boiler": 1}
