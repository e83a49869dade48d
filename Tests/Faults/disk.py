"""What a disk may hold after a power cut, rebuilt from a trace.

The model assumes no more than POSIX gives: a sync that succeeded covers what was written to that file before it began;
a name is safe once its directory was synced; everything else may be there, or not, in pieces of a sector, in any order.
What a sync that failed would have covered may be gone for good: the kernel has marked it clean, and a later sync that
succeeds does not bring it back. Overwriting leaves neighbouring bytes alone.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from faultline import ALLOCATE, CREATE, LINK, MMAP, OUT, RENAME, SYNC_BEGIN, SYNC_END, TRUNCATE, UNLINK, WRITE, Event

SECTOR = 512
Operation = tuple[int, int, bytes]
Tree = dict[str, bytes]


def apply(content: bytearray, operation: Operation):
    """Writes, or sets a length."""
    kind, offset, data = operation
    if kind == WRITE:
        if offset > len(content):
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data
    elif offset < len(content):
        del content[offset:]
    else:
        content.extend(bytes(offset - len(content)))


class File:
    """One inode: what it held at the start, and what was done to it since."""

    def __init__(self, base: bytes):
        self.base = base
        self.operations: list[tuple[int, Operation]] = []
        self.syncs: list[tuple[int, int, bool]] = []

    def pending(self, cut: int) -> tuple[bytes, list[tuple[int, Operation, bool]]]:
        """What must be on the disk after a cut behind event `cut`, and what came on top: when, what, whether sure."""
        floor, lost = -1, set()
        for begin, end, succeeded in self.syncs:
            if end >= cut:
                continue
            if succeeded:
                floor = max(floor, begin)
            else:
                lost |= {index for index, _ in self.operations if floor < index < begin}
        content, pending = bytearray(self.base), []
        for index, operation in self.operations:
            if index >= cut:
                break
            is_sure = index < floor and index not in lost
            if is_sure and not pending:
                apply(content, operation)
            else:
                pending.append((index, operation, is_sure))
        return bytes(content), pending


def variants(base: bytes, pending, dice: random.Random, effort: int) -> Iterator[tuple[str, bytes]]:
    """What a file may have become, each with its name; first the least, then the most."""

    def build(chosen, size: int = 0, fill: bytes = b"\0") -> bytes:
        content = bytearray(base)
        for operation in chosen:
            apply(content, operation)
        content.extend(fill * (size - len(content)))
        return bytes(content)

    least = build([operation for _, operation, is_sure in pending if is_sure])
    if all(is_sure for *_, is_sure in pending):
        yield "synced", least
        return
    most = build([operation for _, operation, _ in pending])
    yield "nothing that was not synced", least
    yield "everything", most
    pieces = list(in_sectors(pending))
    loose = [index for index, (_, is_sure) in enumerate(pieces) if not is_sure]
    some = loose if len(loose) <= effort else sorted(dice.sample(loose, effort))

    def pick(keep) -> list[Operation]:
        return [operation for index, (operation, is_sure) in enumerate(pieces) if is_sure or keep(index)]

    for one in some[1:]:
        yield f"the sectors before #{one}", build(pick(lambda index: index < one))
    if len(loose) > 1:
        for one in some:
            yield f"all but sector #{one}", build(pick(lambda index: index != one), len(most))
        yield "only the last sector", build(pick(lambda index: index == loose[-1]))
    kind, offset, data = pieces[loose[-1]][0]
    if kind == WRITE:
        for count in sorted({1, len(data) // 2, len(data) - 1} - {0, len(data)}):
            torn = pick(lambda index: index < loose[-1]) + [(WRITE, offset, data[:count])]
            yield f"the last sector torn at byte {count}", build(torn)
    if len(most) > len(least):
        forced = [operation for _, operation, is_sure in pending if is_sure]
        yield "the length without the data", build(forced, len(most))
        yield "the length with older data", build(forced, len(most), b"\xa5")
    for number in range(effort // 2):
        kept = {index for index in loose if dice.random() < 0.5}
        size = len(most) if dice.random() < 0.5 else 0
        yield f"random sectors {number}", build(pick(lambda index: index in kept), size)
    for call in sorted({index for index, _, is_sure in pending if not is_sure})[:effort]:
        yield f"all but call #{call}", build([what for index, what, is_sure in pending if is_sure or index != call])


def in_sectors(pending) -> Iterator[tuple[Operation, bool]]:
    """Writes in pieces that end where the file's sectors end."""
    for _, (kind, offset, data), is_sure in pending:
        if kind != WRITE:
            yield (kind, offset, data), is_sure
            continue
        at = 0
        while at < len(data):
            count = min(SECTOR - (offset + at) % SECTOR, len(data) - at)
            yield (WRITE, offset + at, data[at : at + count]), is_sure
            at += count


class Disk:
    """A trace as files, names and syncs. `ignore`: names that mean nothing to a later start."""

    def __init__(self, events: list[Event], initial: dict[str, tuple[int, bytes]], ignore: tuple[str, ...] = ()):
        self.events = events
        self.files: list[File] = []
        self.names: dict[str, int] = {}
        self.answers: list[tuple[int, Event]] = []
        self._changes: list[tuple[int, set[str], tuple]] = []
        self._directory_syncs: list[tuple[int, int, bool, str]] = []
        self._by_inode: dict[int, int] = {}
        for path, (inode, data) in initial.items():
            if path not in ignore:
                self.names[path] = self._by_inode.get(inode) if inode in self._by_inode else self._add(inode, data)
        begun: dict[int, int] = {}
        for index, event in enumerate(events):
            if event.path not in ignore:
                self._take(index, event, begun)

    def _add(self, inode: int, data: bytes = b"") -> int:
        self._by_inode[inode] = len(self.files)
        self.files.append(File(data))
        return self._by_inode[inode]

    def _take(self, index: int, event: Event, begun: dict[int, int]):
        kind, path = event.kind, event.path
        parent = os.path.dirname(path)
        if kind == CREATE:
            self._changes.append((index, {parent}, ("add", path, self._add(event.inode))))
        elif kind == WRITE:
            self._file(event).operations.append((index, (WRITE, event.offset, event.data)))
        elif kind == TRUNCATE or kind == ALLOCATE and not event.is_directory:
            self._file(event).operations.append((index, (TRUNCATE, event.length, b"")))
        elif kind == RENAME:
            self._changes.append((index, {parent, os.path.dirname(event.path2)}, ("move", path, event.path2)))
        elif kind == UNLINK:
            self._changes.append((index, {parent}, ("drop", path)))
        elif kind == LINK:
            target = ("add", event.path2, self._by_inode[event.inode])
            self._changes.append((index, {os.path.dirname(event.path2)}, target))
        elif kind == SYNC_BEGIN:
            begun[event.thread] = index
        elif kind == SYNC_END:
            sync = (begun[event.thread], index, not event.error)
            if event.is_directory:
                self._directory_syncs.append((*sync, path))
            elif event.inode in self._by_inode:
                self._file(event).syncs.append(sync)
        elif kind == OUT:
            self.answers.append((index, event))
        elif kind == MMAP:
            raise AssertionError(f"{path} is written through mmap, which no trace shows")

    def _file(self, event: Event) -> File:
        return self.files[self._by_inode[event.inode]]

    @staticmethod
    def _walk(names: dict[str, int], change: tuple) -> dict[str, int]:
        if change[0] == "add":
            names[change[1]] = change[2]
        elif change[0] == "drop":
            names.pop(change[1], None)
        else:  # a file, or a directory with all that is in it
            old, new = change[1], change[2]
            for name in [name for name in names if name == old or name.startswith(old + "/")]:
                names[new + name[len(old) :]] = names.pop(name)
        return names

    def cuts(self, but: str = "-") -> list[int]:
        """After how many events to cut: right before each that changes what may be on the disk, and at the end.

        Between two such moments the disk may hold the same, and the later the more has been promised. What is done to
        files whose names begin with `but` is no moment of its own.
        """
        changes = [
            index
            for index, event in enumerate(self.events)
            if event.kind not in (OUT, SYNC_BEGIN) and not event.path.startswith(but)
        ]
        return changes + [len(self.events)]

    def trees(self, cut: int) -> Iterator[tuple[str, dict[str, int]]]:
        """Which names may be there after a cut, and which files they mean."""
        sure, loose, names = [], [], dict(self.names)
        for index, parents, change in self._changes:
            if index >= cut:
                break
            syncs = [path for begin, end, good, path in self._directory_syncs if good and begin > index and end < cut]
            is_safe = parents <= set(syncs)
            (sure if is_safe and not loose else loose).append((change, is_safe))
        for change, _ in sure:
            self._walk(names, change)
        floor = 1 + max([index for index, (_, is_safe) in enumerate(loose) if is_safe], default=-1)
        for count in range(floor, len(loose) + 1):
            tree = dict(names)
            for change, _ in loose[:count]:
                self._walk(tree, change)
            yield f"{len(loose) - count} changes of names lost", tree
        for skip in [index for index, (_, is_safe) in enumerate(loose) if not is_safe][:4]:
            tree = dict(names)
            for index, (change, _) in enumerate(loose):
                if index != skip:
                    self._walk(tree, change)
            yield f"change of a name lost: {loose[skip][0][:2]}", tree

    def states(self, cut: int, dice: random.Random, effort: int) -> Iterator[tuple[str, Tree]]:
        """What the disk may hold after a cut behind that many events."""
        for label, tree in self.trees(cut):
            files = sorted(set(tree.values()))
            may = {file: list(variants(*self.files[file].pending(cut), dice, effort)) for file in files}
            least = {file: may[file][0] for file in files}
            most = {file: may[file][min(1, len(may[file]) - 1)] for file in files}
            choices = [least, most]
            for file in files:
                for one in may[file][1:]:
                    choices += [{**least, file: one}, {**most, file: one}]
            for choice in choices:
                unsure = [f"{path}: {choice[file][0]}" for path, file in sorted(tree.items())]
                story = "; ".join([label] + [text for text in unsure if not text.endswith(": synced")])
                yield story, {path: choice[file][1] for path, file in tree.items()}

    def final(self) -> Tree:
        """What the directory holds at the end, without a cut."""
        names = dict(self.names)
        for *_, change in self._changes:
            self._walk(names, change)
        tree = {}
        for path, file in names.items():
            content = bytearray(self.files[file].base)
            for _, operation in self.files[file].operations:
                apply(content, operation)
            tree[path] = bytes(content)
        return tree
