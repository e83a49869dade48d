"""Logs of many devices, with numbers and checksums as the hub writes them, made in seconds."""

import itertools
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import xxhash

BATCH = 16
TAIL = len(',"xxh3":"0123456789abcdef"}\n')


def sealed(body: bytes) -> bytes:
    """A line with its checksum: XXH3-64 of all bytes before it."""
    return b'%s,"xxh3":"%s"}\n' % (body, xxhash.xxh3_64_hexdigest(body).encode())


def lines(template: dict, count: int, replaced: bool = False) -> Iterator[bytes]:
    """Records like one that a hub wrote, of `count` devices, in batches of 16; then the mark of a stop.

    If they are `replaced`, every second device comes again, twice: half of the log is dead then, in the smallest pieces.
    """
    device = json.loads(json.dumps(template["device"]))
    device |= {"id": "@ID@", "name": "@NAME@"}
    device["credentials"]["id"] = "@CREDENTIALS@"
    members = {name: value for name, value in template.items() if name not in ("seq", "durable", "xxh3")}
    text = json.dumps(members | {"device": device}, separators=(",", ":"), ensure_ascii=False)
    for placeholder, slot in (("@ID@", "%s"), ("@NAME@", "meter-%08d"), ("@CREDENTIALS@", "%s")):
        text = text.replace("%", "%%") if placeholder == "@ID@" else text
        text = text.replace(placeholder, slot)
    body = '{"seq":%d,"durable":%d,' + text[1:-1]
    numbers = [range(1, count + 1)] + [range(1, count + 1, 2)] * 2 * replaced
    seq = 0
    for seq, number in enumerate(itertools.chain(*numbers), 1):
        identity = uuid.UUID(int=xxhash.xxh3_128_intdigest(number.to_bytes(8, "big")), version=4)
        token = xxhash.xxh3_64_hexdigest(b"token %d" % number) + "abcd"
        yield sealed((body % (seq, (seq - 1) // BATCH * BATCH, identity, number, token)).encode())
    yield sealed(b'{"mark":"sync","durable":%d,"settled":%d' % (seq, seq))


def write(path: Path, count: int, replaced: bool = False) -> int:
    """Makes of a log with at least one record one of `count` devices; its length in bytes."""
    head, record = path.read_bytes().splitlines(keepends=True)[:2]
    with open(path, "wb", buffering=1 << 20) as file:
        file.write(head)
        file.writelines(lines(json.loads(record), count, replaced))
    return path.stat().st_size
