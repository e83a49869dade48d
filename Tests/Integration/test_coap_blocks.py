"""Block-wise transfer (RFC 7959): certificates are longer than a datagram should be."""

import collections
import json
import random

import pytest

import coap
from coap import ACK, BLOCK1, BLOCK2, CON, REQUEST_TAG, SIZE1, Peer, block, split, unsigned
from devices import over_coap

REQUEST_TAGS = 20_000
MEBIBYTE = 1 << 20
INCOMPLETE = {"4.08", "4.13"}  # what a fragment that fits nowhere is told


@pytest.fixture
def peer(hub):
    with Peer(hub) as peer:
        yield peer


def certificate(size: int, seed: int = 1) -> str:
    """Base64 text as long as that, as a certificate's body is."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return "MII" + "".join(random.Random(seed).choices(letters, k=size - 3))


def certificate_request(profile, name="boiler", size=2000, seed=1):
    """A request that brings a certificate, as bytes."""
    request = profile.request(name, credentialsType="X509_CERTIFICATE", hash=certificate(size, seed))
    return json.dumps(request).encode()


# A request in blocks


@pytest.mark.parametrize("exponent", range(7), ids=lambda exponent: str(16 << exponent))
def test_a_request_in_blocks_of_every_size(hub, profile, peer, exponent):
    answers = peer.ask_in_blocks(profile.request("boiler", padding="x" * 700), exponent)
    for number, answer in enumerate(answers):
        last = number == len(answers) - 1
        received = answer.block(BLOCK1)
        assert (answer.kind, answer.text) == (ACK, "2.01" if last else "2.31")
        assert (received.number, received.size) == (number, 16 << exponent)
    assert answers[-1].json["credentialsValue"] == hub.credentials("boiler")["credentialsId"]


@pytest.mark.parametrize("size1", [None, 0, 1], ids=["without", "right", "too-small"])
def test_size1_is_a_hint_and_may_be_absent(hub, profile, peer, size1):
    payload = certificate_request(profile)
    options = [] if size1 is None else [(SIZE1, unsigned(size1 or len(payload)))]
    assert peer.ask_in_blocks(payload, options=options)[-1].text == "2.01"
    assert hub.credentials("boiler")["credentialsValue"] == certificate(2000)


def test_a_request_in_one_block(hub, profile, peer):
    answer = peer.ask(profile.request("boiler"), options=[(BLOCK1, block(0, False, 6))])
    assert (answer.text, answer.block(BLOCK1).number) == ("2.01", 0)


def test_a_device_may_go_on_with_smaller_blocks(hub, profile, peer):
    payload = certificate_request(profile)
    first = peer.ask(payload[:1024], options=[(BLOCK1, block(0, True, 6))], token=b"t")
    assert first.text == "2.31"
    pieces = split(payload, 4)
    for number in range(4, len(pieces)):
        more = number < len(pieces) - 1
        answer = peer.ask(pieces[number], options=[(BLOCK1, block(number, more, 4))], token=b"t")
        assert answer.text == ("2.31" if more else "2.01")


def test_blocks_of_non_confirmable_messages(hub, profile, peer):
    pieces = split(certificate_request(profile), 6)
    for number, piece in enumerate(pieces):
        more = number < len(pieces) - 1
        answer = peer.ask(piece, kind=coap.NON, options=[(BLOCK1, block(number, more, 6))])
        assert (answer.kind, answer.text) == (coap.NON, "2.31" if more else "2.01")


def test_a_retransmitted_block_is_answered_as_before(hub, profile, peer):
    pieces, token = split(certificate_request(profile), 6), b"abcd"
    for number, piece in enumerate(pieces):
        more = number < len(pieces) - 1
        request = peer.request(piece, token=token, options=[(BLOCK1, block(number, more, 6))])
        answers = set()
        for _ in range(3):
            peer.send(request)
            answers.add(peer.receive_bytes())
        assert len(answers) == 1
        assert coap.Message.decode(answers.pop()).text == ("2.31" if more else "2.01")
    assert len(hub.devices()) == 1


def test_a_transfer_may_begin_anew(hub, profile, peer):
    pieces = split(certificate_request(profile), 6)
    assert peer.ask(pieces[0], options=[(BLOCK1, block(0, True, 6))]).text == "2.31"
    assert peer.ask_in_blocks(certificate_request(profile))[-1].text == "2.01"


# Fragments that do not fit


@pytest.mark.parametrize("order", [[1], [1, 0], [0, 2], [0, 1, 3], [0, 1, 1], [2, 1, 0]], ids=str)
def test_fragments_out_of_order_or_missing_create_nothing(hub, profile, peer, order):
    pieces = split(certificate_request(profile, size=3500), 6)
    assert len(pieces) == 4
    for at, number in enumerate(order):
        answer = peer.ask(pieces[number], token=b"same", options=[(BLOCK1, block(number, number < 3, 6))])
        fits = number == 0 or order[: at + 1] == list(range(at + 1))  # block 0 always begins a transfer
        assert answer.text in ({"2.31"} if fits else INCOMPLETE)
    assert not hub.devices()
    assert peer.ask_in_blocks(certificate_request(profile))[-1].text == "2.01"


@pytest.mark.parametrize("number", [1, 64, 1000, 0xFFFFF])
@pytest.mark.parametrize("more", [False, True], ids=["last", "more"])
def test_a_block_from_nowhere_creates_nothing(hub, profile, peer, number, more):
    payload = certificate_request(profile)[:1024]
    assert peer.ask(payload, options=[(BLOCK1, block(number, more, 6))]).text in INCOMPLETE
    assert not hub.devices()


@pytest.mark.parametrize("size", [0, 1, 1000, 1023])
def test_a_block_shorter_than_it_says_creates_nothing(hub, profile, peer, size):
    payload = certificate_request(profile, size=1500)
    assert peer.ask(payload[:size], token=b"t", options=[(BLOCK1, block(0, True, 6))]).text in INCOMPLETE | {"4.00"}
    rest = peer.ask(payload[1024:], token=b"t", options=[(BLOCK1, block(1, False, 6))])
    assert rest.text in INCOMPLETE
    assert not hub.devices()


def test_a_block_of_the_reserved_size_is_refused(hub, profile, peer):
    answer = peer.ask(profile.request("boiler"), options=[(BLOCK1, block(0, False, 7))])
    assert answer.text in {"4.00", "4.02"}
    assert not hub.devices()


def test_two_peers_may_interleave(hub, profile):
    with Peer(hub) as one, Peer(hub) as two:
        pieces = {peer: split(certificate_request(profile, f"d{n}", seed=n), 5) for n, peer in enumerate((one, two))}
        count = len(pieces[one])
        for number in range(count):
            for peer in (one, two):
                option = (BLOCK1, block(number, number < count - 1, 5))
                answer = peer.ask(pieces[peer][number], token=b"same", options=[option])
                assert answer.text == ("2.31" if number < count - 1 else "2.01")
    assert {device["name"] for device in hub.devices()} == {"d0", "d1"}


def test_one_peer_may_interleave_by_request_tags(hub, profile, peer):
    pieces = [split(certificate_request(profile, f"d{n}", seed=n), 6) for n in range(3)]
    for number in range(len(pieces[0])):
        for transfer in range(3):
            more = number < len(pieces[0]) - 1
            options = [(BLOCK1, block(number, more, 6)), (REQUEST_TAG, bytes([transfer]))]
            assert peer.ask(pieces[transfer][number], options=options).text == ("2.31" if more else "2.01")
    assert len(hub.devices()) == 3


# Limits


def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_4_13(hub, profile):
    empty = len(json.dumps(profile.request("boiler", padding="")))
    with Peer(hub) as peer:
        largest = json.dumps(profile.request("boiler", padding="x" * (65536 - empty))).encode()
        assert len(largest) == 65536
        assert peer.ask_in_blocks(largest)[-1].text == "2.01"
        answers = peer.ask_in_blocks(largest + b" ")
        assert (len(answers), answers[-1].text, answers[-1].integer(SIZE1)) == (65, "4.13", 65536)
        answers = peer.ask_in_blocks(b" " * 200_000)
        assert (answers[-1].text, answers[-1].integer(SIZE1)) == ("4.13", 65536)
        assert len(answers) <= 65
    assert len(hub.devices()) == 1


@pytest.mark.parametrize("size1", [65537, 1 << 20, 0xFFFFFFFF], ids=hex)
def test_a_size1_over_64_kib_costs_no_memory(hub, profile, size1):
    before = hub.anonymous_memory
    for _ in range(50):
        with Peer(hub) as peer:
            answer = peer.ask(b"x" * 1024, options=[(BLOCK1, block(0, True, 6)), (SIZE1, unsigned(size1))])
            assert answer.text == "4.13"
    assert hub.anonymous_memory - before < 2 * MEBIBYTE
    assert not hub.devices()


def test_a_datagram_over_64_kib_less_headers_is_harmless(hub, profile, peer):
    peer.send(peer.request(b"x" * 65000))
    try:
        assert peer.receive(1).text in {"4.00", "4.13"}
    except TimeoutError:
        pass
    assert peer.ask(profile.request("boiler")).text == "2.01"


def test_twenty_thousand_request_tags_take_no_memory_and_nobodys_place(hub, profile):
    with Peer(hub) as flood, Peer(hub, "127.0.0.2") as honest:
        counts = collections.Counter()
        for tag in range(REQUEST_TAGS):
            if tag == REQUEST_TAGS // 2:
                before = hub.anonymous_memory  # all tables are as full as they get
            options = [(BLOCK1, block(0, True, 6)), (REQUEST_TAG, tag.to_bytes(4, "big"))]
            counts[flood.ask(b"x" * 1024, options=options).text] += 1
        after = hub.anonymous_memory
        print(f"\n{REQUEST_TAGS} request tags: {dict(counts)}; RssAnon {before // 1024} kB, then {after // 1024} kB")
        assert counts.keys() <= {"2.31", "5.03"} | INCOMPLETE
        assert after - before < 4 * MEBIBYTE
        assert honest.ask_in_blocks(certificate_request(profile))[-1].text == "2.01"
        for tag in (1, 19_000):
            options = [(BLOCK1, block(1, False, 6)), (REQUEST_TAG, tag.to_bytes(4, "big"))]
            assert flood.ask(b"x", options=options).text in INCOMPLETE | {"4.00"}
    assert [device["name"] for device in hub.devices()] == ["boiler"]


# An answer in blocks


@pytest.mark.parametrize("size", [900, 1100, 5000, 30_000])
def test_a_certificate_comes_back_whole(hub, profile, size):
    answer = over_coap(hub, certificate_request(profile, size=size))
    assert json.loads(answer.payload)["credentialsValue"] == certificate(size)
    assert len(hub.devices()) == 1


def test_a_long_answer_comes_in_blocks_of_at_most_1024(hub, profile, peer):
    answers = peer.ask_in_blocks(certificate_request(profile, size=3000))
    whole, answer = b"", answers[-1]
    while True:
        received = answer.block(BLOCK2)
        assert answer.text == "2.01" and received.size <= 1024
        assert len(answer.payload) == received.size or not received.more
        whole += answer.payload
        if not received.more:
            break
        answer = peer.ask(b"", options=[(BLOCK2, block(received.number + 1, False, 6))])
    assert json.loads(whole)["credentialsValue"] == certificate(3000)
    assert len(hub.devices()) == 1


def test_a_device_may_ask_for_small_blocks_at_once(hub, profile, peer):
    whole, number = b"", 0
    answer = peer.ask(profile.request("boiler"), options=[(BLOCK2, block(0, False, 2))])
    while True:
        received = answer.block(BLOCK2)
        assert (answer.text, received.number, received.size) == ("2.01", number, 64)
        whole += answer.payload
        if not received.more:
            break
        number += 1
        answer = peer.ask(b"", options=[(BLOCK2, block(number, False, 2))])
    assert json.loads(whole)["credentialsValue"] == hub.credentials("boiler")["credentialsId"]


def test_nobody_else_gets_the_rest_of_an_answer(hub, profile, peer):
    peer.ask_in_blocks(certificate_request(profile, size=3000))
    for source in ("127.0.0.1", "127.0.0.2"):
        with Peer(hub, source) as thief:
            answer = thief.ask(b"", options=[(BLOCK2, block(1, False, 6))])
            assert answer.text.startswith("4.")
            assert certificate(3000)[1200:1300].encode() not in answer.payload


def test_a_block_of_no_answer_is_refused(hub, profile, peer):
    answer = peer.ask(b"", options=[(BLOCK2, block(5, False, 6))])
    assert answer.text.startswith("4.") and answer.kind in (ACK, CON)
    assert not hub.devices()
