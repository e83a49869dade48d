"""A reader of the hub's logs (one checksummed JSON object a line) of our own: the daemon never vouches for itself."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import xxhash

TAIL = len(',"xxh3":"0123456789abcdef"}')


@dataclasses.dataclass
class Line:
    """One whole line: where it starts, its bytes with the newline, its object."""

    offset: int
    raw: bytes
    json: dict

    @property
    def end(self) -> int:
        return self.offset + len(self.raw)


@dataclasses.dataclass
class Log:
    """The whole lines of a log, and the bytes behind them that are not."""

    lines: list[Line]
    torn: bytes

    @property
    def records(self) -> list[Line]:
        return [line for line in self.lines if "seq" in line.json]

    def marks(self, name: str) -> list[dict]:
        return [line.json for line in self.lines if line.json.get("mark") == name]

    @property
    def newest(self) -> dict[str, dict]:
        """The last record of every device that there is, by id."""
        by_id = {}
        for line in self.records:
            if line.json["op"] == "put":
                by_id[line.json["device"]["id"]] = line.json
            else:
                by_id.pop(line.json["device"]["id"], None)
        return by_id

    @property
    def devices(self) -> dict[str, dict]:
        """The last state of every device, by name; a name that two ids hold is an error."""
        by_name = {}
        for device in (one["device"] for one in self.newest.values()):
            assert device["name"] not in by_name, f"two devices are called {device['name']}"
            by_name[device["name"]] = device
        return by_name

    def verify(self):
        """Head first, sequence without gaps, `durable` always behind `seq`."""
        assert self.lines[0].json["mark"] == "head", self.lines[0]
        expected = 1
        for line in self.records:
            assert line.json["seq"] == expected, f"seq {line.json['seq']} instead of {expected} at {line.offset}"
            assert line.json["durable"] < expected
            expected += 1


def parse(raw: bytes) -> dict | None:
    """The object of a line with its newline, or None if it is not whole."""
    if not raw.endswith(b"\n"):
        return None
    body, tail = raw[: -TAIL - 1], raw[-TAIL - 1 : -1]
    if tail != b',"xxh3":"%s"}' % xxhash.xxh3_64_hexdigest(body).encode():
        return None
    return json.loads(raw)


def read(path: pathlib.Path, start: int = 0) -> Log:
    """Reads a log from byte `start`, which is the start of a line. Bad bytes before a good line are an error."""
    data = path.read_bytes()
    lines, at = [], start
    while at < len(data):
        stop = data.find(b"\n", at) + 1 or len(data)
        found = parse(data[at:stop])
        if found is None:
            rest = data[at:]
            later = [part for part in rest.split(b"\n")[1:] if part and parse(part + b"\n") is not None]
            assert not later, f"{path}: a bad line at {at} before {len(later)} good ones"
            return Log(lines, rest)
        lines.append(Line(at, data[at:stop], found))
        at = stop
    return Log(lines, b"")
