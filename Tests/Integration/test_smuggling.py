"""Requests on which two HTTP parsers could disagree: refused, the connection closed, and nothing behind them read.

Every one of them is followed by a complete request that would provision a device called `smuggled`.
"""

import json

import pytest

from wire import Wire, post

POST = "POST /api/v1/provision HTTP/1.1\r\n"
HOST = "Host: hub\r\n"
EMPTY_CHUNKS = "0\r\n\r\n"

REFUSED = {
    "content-length-then-chunked": POST
    + HOST
    + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    + EMPTY_CHUNKS,
    "chunked-then-content-length": POST
    + HOST
    + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
    + EMPTY_CHUNKS,
    "two-content-lengths": POST + HOST + "Content-Length: 5\r\nContent-Length: 3\r\n\r\nhello",
    "two-equal-content-lengths": POST + HOST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "content-length-list": POST + HOST + "Content-Length: 5, 5\r\n\r\nhello",
    "content-length-plus": POST + HOST + "Content-Length: +5\r\n\r\nhello",
    "content-length-minus": POST + HOST + "Content-Length: -5\r\n\r\nhello",
    "content-length-hex": POST + HOST + "Content-Length: 0x5\r\n\r\nhello",
    "content-length-text": POST + HOST + "Content-Length: five\r\n\r\nhello",
    "content-length-empty": POST + HOST + "Content-Length:\r\n\r\n",
    "blank-before-colon": POST + HOST + "Content-Length : 5\r\n\r\nhello",
    "tab-before-colon": POST + HOST + "Content-Length\t: 5\r\n\r\nhello",
    "transfer-encoding-blank-before-colon": POST + HOST + "Transfer-Encoding : chunked\r\n\r\n" + EMPTY_CHUNKS,
    "transfer-encoding-list": POST + HOST + "Transfer-Encoding: gzip, chunked\r\n\r\n" + EMPTY_CHUNKS,
    "transfer-encoding-twice-in-one": POST + HOST + "Transfer-Encoding: chunked, chunked\r\n\r\n" + EMPTY_CHUNKS,
    "two-transfer-encodings": POST + HOST + "Transfer-Encoding: chunked\r\n" * 2 + "\r\n" + EMPTY_CHUNKS,
    "transfer-encoding-then-identity": POST
    + HOST
    + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
    + EMPTY_CHUNKS,
    "transfer-encoding-identity": POST + HOST + "Transfer-Encoding: identity\r\n\r\n" + EMPTY_CHUNKS,
    "transfer-encoding-xchunked": POST + HOST + "Transfer-Encoding: xchunked\r\n\r\n" + EMPTY_CHUNKS,
    "transfer-encoding-gzip": POST + HOST + "Transfer-Encoding: gzip\r\n\r\n" + EMPTY_CHUNKS,
    "transfer-encoding-quoted": POST + HOST + 'Transfer-Encoding: "chunked"\r\n\r\n' + EMPTY_CHUNKS,
    "transfer-encoding-parameter": POST + HOST + "Transfer-Encoding: chunked;a=b\r\n\r\n" + EMPTY_CHUNKS,
    "transfer-encoding-empty": POST + HOST + "Transfer-Encoding:\r\n\r\n" + EMPTY_CHUNKS,
    "transfer-encoding-in-1.0": "POST /api/v1/provision HTTP/1.0\r\n"
    + HOST
    + "Transfer-Encoding: chunked\r\n\r\n"
    + EMPTY_CHUNKS,
    "bad-chunk-size": POST + HOST + "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "negative-chunk-size": POST + HOST + "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "huge-chunk-size": POST + HOST + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n",
    "name-with-blank": POST + HOST + "X Y: z\r\nContent-Length: 0\r\n\r\n",
    "name-with-leading-blank-first": POST + " X: z\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "name-empty": POST + HOST + ": z\r\nContent-Length: 0\r\n\r\n",
    "name-with-slash": POST + HOST + "X/Y: z\r\nContent-Length: 0\r\n\r\n",
    "name-with-parenthesis": POST + HOST + "X(Y): z\r\nContent-Length: 0\r\n\r\n",
    "name-with-control": POST + HOST + "X\x01Y: z\r\nContent-Length: 0\r\n\r\n",
    "name-not-ascii": POST + HOST + "X\xe4: z\r\nContent-Length: 0\r\n\r\n",
    "value-with-control": POST + HOST + "X: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "value-with-escape": POST + HOST + "X: a\x1b[0mb\r\nContent-Length: 0\r\n\r\n",
    "value-with-delete": POST + HOST + "X: a\x7fb\r\nContent-Length: 0\r\n\r\n",
    "value-with-bare-cr": POST + HOST + "X: a\rContent-Length: 9\r\nContent-Length: 0\r\n\r\n",
    "header-without-colon": POST + HOST + "nonsense\r\nContent-Length: 0\r\n\r\n",
    "two-hosts": POST + HOST + "Host: other\r\nContent-Length: 0\r\n\r\n",
    "two-equal-hosts": POST + HOST + HOST + "Content-Length: 0\r\n\r\n",
    "no-host-in-1.1": POST + "Content-Length: 0\r\n\r\n",
    "absolute-url": "POST http://hub/api/v1/provision HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "authority-url": "POST hub:80 HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "asterisk-url": "OPTIONS * HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "connect": "CONNECT hub:80 HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "trace": "TRACE /health HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "method-not-a-token": "G(T /health HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "method-lower-case": "post /api/v1/provision HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "method-unknown": "BREW /api/v1/provision HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "method-endless": "M" * 40000 + " /health HTTP/1.1\r\n" + HOST + "\r\n",
    "http-1.9": "POST /api/v1/provision HTTP/1.9\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "http-2.0": "POST /api/v1/provision HTTP/2.0\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "http-0.9": "GET /health\r\n",
    "no-http": "POST /api/v1/provision FTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "65-headers": POST + HOST + "".join(f"X-{n}: y\r\n" for n in range(63)) + "Content-Length: 0\r\n\r\n",
    "500-headers": POST + HOST + "X: y\r\n" * 500 + "Content-Length: 0\r\n\r\n",
    "huge-header": POST + HOST + "X: " + "y" * 70000 + "\r\nContent-Length: 0\r\n\r\n",
    "huge-url": "POST /" + "y" * 70000 + " HTTP/1.1\r\n" + HOST + "Content-Length: 0\r\n\r\n",
    "tls-hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 40 + "\r\n\r\n",
    "noise": "\x01\xff\x80\r\n\r\n",
}

NOT_HTTP = {REFUSED[name] for name in ("http-0.9", "tls-hello", "noise")}  # may be closed without a word

UNDETECTABLE = {
    "bare-line-feeds": (POST + HOST + "Content-Length: 2\r\n\r\n").replace("\r\n", "\n") + "{}",
    "folded-header": POST + HOST + "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "chunk-extension": POST + HOST + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n",
    "value-with-nul": POST + HOST + "X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "line-that-begins-with-nul": "\0\xff\r\n" + POST + HOST + "Content-Length: 2\r\n\r\n{}",
    "url-with-nul": "POST /api/v1/provision\0x HTTP/1.1\r\n" + HOST + "Content-Length: 2\r\n\r\n{}",
}


def smuggled(profile):
    return post(json.dumps(profile.request("smuggled")).encode())


@pytest.fixture(scope="module")
def victim(shared_hub):
    return shared_hub.create_profile("victim")


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_an_ambiguous_request_is_refused_and_the_connection_closed(shared_hub, victim, raw):
    with Wire(shared_hub, timeout=5) as wire:
        wire.send(raw.encode("latin-1") + smuggled(victim))
        responses = wire.rest()  # ends only when the hub closes
    assert responses or raw in NOT_HTTP, "closed without a word"
    assert all(400 <= response.status <= 505 for response in responses), responses
    assert shared_hub.device("smuggled") is None
    assert shared_hub.http("GET", "/health").status == 200


@pytest.mark.parametrize("raw", UNDETECTABLE.values(), ids=UNDETECTABLE.keys())
def test_what_the_library_cannot_tell_apart_is_one_request_at_most(shared_hub, raw):
    """libmicrohttpd reads each as a request; it must be one request, answered as the malformed `{}` it carries."""
    with Wire(shared_hub, timeout=5) as wire:
        wire.send(raw.encode("latin-1"))
        assert wire.response().status in (400, 404)
        wire.closed_after(0.3)
        assert wire.received == b"", "a second answer"
    assert shared_hub.http("GET", "/health").status == 200


@pytest.mark.parametrize("count", [1, 62])
def test_up_to_64_headers_are_fine(shared_hub, count):
    with Wire(shared_hub) as wire:
        wire.send(post(b"{}", *(f"X-{number}: y" for number in range(count))))
        assert wire.response().status == 400
        wire.send(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert wire.response().status == 200, "a request that is well-formed as HTTP keeps the connection"


@pytest.mark.parametrize("host", ["hub", "hub:8080", "[::1]:8080", "10.0.0.1", ""])
def test_devices_may_use_any_host_name(shared_hub, host):
    with Wire(shared_hub) as wire:
        wire.send(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert wire.response().status == 200
