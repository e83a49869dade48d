"""The interposer of this folder, preloaded into a daemon: what it recorded, and what it shall break."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import struct

from interposer import build

HEAD = struct.Struct("<IBBHHHIqqqIiQ")
MAGIC = 0x314C5446
CREATE, WRITE, TRUNCATE, RENAME, UNLINK, LINK, SYNC_BEGIN, SYNC_END, OUT, MKDIR, MMAP, ALLOCATE = range(1, 13)
NAMES = "- create write truncate rename unlink link sync-begin sync-end answer mkdir mmap allocate".split()


def environment(root: pathlib.Path, trace: pathlib.Path | None = None, rules: str = "", seed: int = 1):
    """What a daemon needs in its environment to be recorded and broken; `rules` as faultline.c describes them."""
    wanted = {"LD_PRELOAD": build("faultline"), "FAULT_ROOT": str(root.resolve()), "FAULT_SEED": str(seed)}
    wanted |= {"FAULT_TRACE": str(trace)} if trace else {}
    return wanted | ({"FAULT_RULES": rules} if rules else {})


@dataclasses.dataclass(slots=True)
class Event:
    """One operation of the daemon."""

    kind: int
    is_directory: bool
    path: str
    path2: str
    thread: int
    inode: int
    offset: int
    length: int
    data: bytes
    error: int
    nanoseconds: int

    def __str__(self) -> str:
        text = f"{NAMES[self.kind]} {self.path}"
        if self.kind in (RENAME, LINK):
            text += f" -> {self.path2}"
        if self.kind == WRITE:
            text += f" [{self.offset}, {self.offset + self.length})"
        if self.kind == TRUNCATE:
            text += f" to {self.length}"
        return text + (f": {os.strerror(self.error)}" if self.error else "")


def read(path: pathlib.Path) -> list[Event]:
    """The operations of a trace, in their order."""
    raw, at, events = path.read_bytes(), 0, []
    while at + HEAD.size <= len(raw):
        fields = HEAD.unpack_from(raw, at)
        magic, kind, is_directory, first, second, _, thread, inode, offset, length, size, error, when = fields
        assert magic == MAGIC, f"{path}: no trace at byte {at}"
        names = at + HEAD.size
        data = names + first + second
        events.append(
            Event(
                kind,
                bool(is_directory),
                raw[names : names + first].decode() or "/",
                raw[names + first : data].decode(),
                thread,
                inode,
                offset,
                length,
                raw[data : data + size],
                error,
                when,
            )
        )
        at = data + size
    return events


def snapshot(root: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    """Inode and content of every file below a directory, by name."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {f"/{path.relative_to(root)}": (path.stat().st_ino, path.read_bytes()) for path in files}
