"""CoAP from peers that mean harm: garbage, floods, amplification. The hub lives, small, and nothing is created."""

import json
import random

import pytest

import coap
from coap import ACK, BLOCK1, CON, NON, Message, Peer, block

GARBAGE = 2000
PORTS = 3000
MEBIBYTE = 1 << 20


@pytest.fixture
def peer(hub):
    with Peer(hub) as peer:
        yield peer


def drain(peer):
    """Reads what has come."""
    peer.socket.setblocking(False)
    try:
        while True:
            peer.socket.recv(65536)
    except (BlockingIOError, ConnectionRefusedError):
        pass
    peer.socket.settimeout(10)


def mutated(dice: random.Random, message: bytes) -> bytes:
    """A message with some bytes changed, cut, repeated or inserted."""
    data = bytearray(message)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0 if at < len(data):
                data[at] = dice.randrange(256)
            case 1:
                del data[at : at + dice.randint(1, 20)]
            case 2:
                data[at:at] = dice.randbytes(dice.randint(1, 20))
            case _:
                data[at:at] = data[: dice.randint(1, 30)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(3))
def test_garbage_neither_kills_nor_creates(hub, profile, seed):
    dice = random.Random(seed)
    wrong = json.dumps(profile.request("boiler") | {"provisionDeviceSecret": "wrong"}).encode()
    before = hub.anonymous_memory
    with Peer(hub) as peer:
        samples = [
            peer.request(wrong), peer.request(wrong, kind=NON), peer.request(b"{}", options=[(60, b"\xff" * 4)]),
            peer.request(wrong, options=[(BLOCK1, block(0, True, 2))]), Message(ACK, 0x45, 5, b"t", [], b"x"),
            peer.request(b"", options=[(coap.BLOCK2, block(9, False, 6))]), Message(CON, 0, 1),
            peer.request(wrong, options=[(292, b"12345678"), (BLOCK1, block(1, False, 0))]),
        ]  # fmt: skip
        for number in range(GARBAGE):
            data = mutated(dice, dice.choice(samples).encode()) if number % 4 else dice.randbytes(dice.randint(0, 100))
            peer.send(data)
            if number % 50 == 0:
                drain(peer)
                with Peer(hub) as fresh:
                    assert fresh.ask(b"{}").text == "4.00"  # the hub keeps up, so nothing is lost on the way
        drain(peer)
    print(f"\nseed {seed}: RssAnon {before // 1024} kB before, {hub.anonymous_memory // 1024} kB after")
    assert hub.anonymous_memory - before < 8 * MEBIBYTE
    assert not hub.devices()
    with Peer(hub) as peer:
        assert peer.ask(profile.request("boiler")).text == "2.01"


@pytest.mark.parametrize("data", [
    b"", b"\x40", b"\x40\x02\x00", b"\x40\x02\x00\x01\xff", b"\x4f\x02\x00\x01" + b"t" * 15,
    b"\x49\x02\x00\x01" + b"t" * 9,
    b"\x00\x02\x00\x01", b"\x80\x02\x00\x01", b"\xc0\x02\x00\x01", b"\x40\xe1\x00\x01", b"\x40\x02\x00\x01\xf0",
    b"\x40\x02\x00\x01\x0f", b"\x40\x02\x00\x01\xbd\xff", b"\x40\x02\x00\x01\xee\xff\xff\xff\xff", b"\x40\x00\x00\x01x",
], ids=bytes.hex)  # fmt: skip
def test_a_datagram_that_is_not_coap_is_reset_or_ignored(hub, profile, peer, data):
    peer.send(data)
    with Peer(hub) as other:
        assert other.ask(b"{}").text == "4.00"
    drain(peer)
    assert not hub.devices()


def test_three_thousand_ports_cost_little_memory_and_nobodys_answer(hub, profile):
    before = hub.anonymous_memory
    for _ in range(PORTS):
        with Peer(hub) as peer:
            peer.send(peer.request(b"{}"))
            peer.receive()
    after = hub.anonymous_memory
    print(f"\n{PORTS} ports: RssAnon {before // 1024} kB before, {after // 1024} kB after")
    assert after - before < 8 * MEBIBYTE
    with Peer(hub, "127.0.0.2") as honest:
        assert honest.ask(profile.request("boiler")).text == "2.01"


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b'{"provisionDeviceKey":"k"}'], ids=bytes.decode)
def test_an_error_is_hardly_longer_than_a_small_request(hub, peer, payload):
    request = peer.request(payload)
    assert len(request.encode()) < 100
    peer.send(request)
    answer = peer.receive()
    plain = Message(ACK, answer.code, answer.mid, answer.token, answer.options,
                    b'{"errorMsg":"Failed to provision device!","status":"FAILURE"}')  # fmt: skip
    print(f"\n{len(request.encode())} bytes in, {len(answer.encode())} out")
    assert len(answer.encode()) <= max(len(request.encode()) + 32, len(plain.encode()))


@pytest.mark.parametrize("path", [("x",), (".well-known", "core"), ("api", "v1", "provision")], ids="/".join)
def test_get_does_not_amplify(hub, peer, path):
    request = peer.request(b"", code=coap.GET, path=path)
    peer.send(request)
    answer = peer.receive_bytes()
    print(f"\n{len(request.encode())} bytes in, {len(answer)} out")
    assert len(answer) <= 3 * len(request.encode())


def test_a_response_code_is_no_request(hub, profile, peer):
    for code in (0x41, 0x84, 0xA0, 0x20):
        peer.send(Message(CON, code, 5, b"t", [], json.dumps(profile.request("boiler")).encode()))
    with Peer(hub) as other:
        assert other.ask(b"{}").text == "4.00"
    assert not hub.devices()


def test_no_secret_of_a_malformed_request_comes_back(hub, profile, peer):
    for payload in (b"{" + profile.secret.encode(), json.dumps(profile.request("x", hash=[])).encode()[:-1]):
        answer = peer.ask(payload)
        assert answer.text == "4.00"
        assert profile.secret.encode() not in answer.payload and profile.key.encode() not in answer.payload
