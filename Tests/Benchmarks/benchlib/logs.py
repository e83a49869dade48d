"""Logs of many devices, with numbers and checksums as the hub writes them, made in seconds."""

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


def lines(template: dict, count: int) -> Iterator[bytes]:
    """Records 1 to `count` like one that a hub wrote: other devices, in batches of 16; then the mark of a stop."""
    device = json.loads(json.dumps(template["device"]))
    device |= {"id": "@ID@", "name": "@NAME@"}
    device["credentials"]["id"] = "@CREDENTIALS@"
    members = {name: value for name, value in template.items() if name not in ("seq", "durable", "xxh3")}
    text = json.dumps(members | {"device": device}, separators=(",", ":"), ensure_ascii=False)
    for placeholder, slot in (("@ID@", "%s"), ("@NAME@", "meter-%08d"), ("@CREDENTIALS@", "%s")):
        text = text.replace("%", "%%") if placeholder == "@ID@" else text
        text = text.replace(placeholder, slot)
    body = '{"seq":%d,"durable":%d,' + text[1:-1]
    for seq in range(1, count + 1):
        identity = uuid.UUID(int=xxhash.xxh3_128_intdigest(seq.to_bytes(8, "big")), version=4)
        token = xxhash.xxh3_64_hexdigest(b"token %d" % seq) + "abcd"
        yield sealed((body % (seq, (seq - 1) // BATCH * BATCH, identity, seq, token)).encode())
    yield sealed(b'{"mark":"sync","durable":%d,"settled":%d' % (count, count))


def write(path: Path, count: int) -> int:
    """Makes of a log with one record one with `count`; its length in bytes."""
    head, record = path.read_bytes().splitlines(keepends=True)[:2]
    with open(path, "wb", buffering=1 << 20) as file:
        file.write(head)
        file.writelines(lines(json.loads(record), count))
    return path.stat().st_size
