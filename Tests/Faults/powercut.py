"""Cuts the power at every moment of a recording, and recovers each state that the disk may hold."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import itertools
import os
import pathlib
import queue
import random
import time
from collections.abc import Callable

import faultline
from disk import Disk, Tree
from promises import Promise, Promises, judge
from recovery import Machine, Recovered

IGNORED = ("/lock",)  # who holds it is a matter of flock(2), not of its content
AUDIT = "/audit"
UPSTREAM = "/upstream"
PER_CUT = 12
EFFORT = 8
NESTED_STATES = 12
BEHIND = 60  # events behind the last one that is looked for
ONE_AGAIN_IN = 3  # states whose recovery is followed by a second one


@dataclasses.dataclass
class Recording:
    """A trace of the daemon, what its directory held before and after, and what administrators were told."""

    trace: pathlib.Path
    before: dict[str, tuple[int, bytes]]
    after: dict[str, tuple[int, bytes]]
    told: list[tuple[int, Promise]]

    def disk(self) -> Disk:
        """The trace as a disk; fails unless it explains the directory byte for byte."""
        disk = Disk(faultline.read(self.trace), self.before, IGNORED)
        real = {name: data for name, (_, data) in self.after.items() if name not in IGNORED}
        rebuilt = disk.final()
        assert set(rebuilt) == set(real), f"the trace does not explain {set(rebuilt) ^ set(real)}"
        for name, data in real.items():
            assert rebuilt[name] == data, f"the trace does not explain what is in {name}"
        return disk


@dataclasses.dataclass
class Report:
    """What was checked, and what was found."""

    cuts: int = 0
    states: int = 0
    nested: int = 0
    starts: int = 0
    seconds: float = 0
    findings: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        counted = f"{self.states} states at {self.cuts} moments, {self.nested} of second cuts, {self.starts} starts"
        return f"{counted}, {len(self.findings)} findings, {self.seconds:.0f} s"


class PowerCuts:
    """Checks states of one recording on a few machines at once.

    - Parameters: `seconds` and `seed` bound and choose what is checked; at least `least` states are, however long that
      takes, if there are so many. `nested` is how many recoveries are themselves cut; `about` leaves only the moments
      from each event of a file with that ending to a little behind it. `judge` says whether a recovery kept what was
      promised, `settings` are those of the daemon that recovers. The first findings end it.
    """

    def __init__(
        self, recording: Recording, seconds: float, seed: int, nested: int = 0, least: int = 0, most_findings: int = 3,
        about: str = "", judge: Callable[[list[Promise], Recovered], None] = judge, settings: list[str] = (),
    ):  # fmt: skip
        self.disk = recording.disk()
        self.promises = Promises(self.disk, recording.told)
        self.seconds, self.seed, self.nested, self.most_findings = seconds, seed, nested, most_findings
        self.least, self.about, self.judge, self.settings = least, about, judge, settings
        self.report = Report()
        self._fixed: set[bytes] = set()

    def run(self) -> Report:
        """Recovers states in a random order until the time is over or all are done."""
        began = time.monotonic()
        workers = os.cpu_count() or 1
        machines: queue.SimpleQueue[Machine] = queue.SimpleQueue()
        made = [Machine(self.settings) for _ in range(workers)]
        for machine in made:
            machines.put(machine)

        def check(task) -> list[str]:
            machine = machines.get()
            try:
                return self._check(machine, *task)
            finally:
                machines.put(machine)

        tasks = self._tasks()
        try:
            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                while len(self.report.findings) < self.most_findings:
                    if time.monotonic() - began >= self.seconds and self.report.states >= self.least:
                        break
                    batch = list(itertools.islice(tasks, 8 * workers))
                    for found in pool.map(check, batch):
                        self.report.findings += found
                    if not batch:
                        break
        finally:
            for machine in made:
                machine.close()
        self.report.seconds = time.monotonic() - began
        return self.report

    def _moments(self) -> list[int]:
        cuts = self.disk.cuts(but=AUDIT)
        if not self.about:
            return cuts
        events = [index for index, event in enumerate(self.disk.events) if event.path.endswith(self.about)]
        assert events, f"nothing was done to a file that ends with {self.about}"
        wanted = {near for index in events for near in range(index, index + BEHIND)}
        return [cut for cut in cuts if cut in wanted]

    def _tasks(self):
        """Moments in random order, a few states of each; then again, with other states."""
        dice, seen, visited = random.Random(self.seed), set(), set()
        cuts = self._moments()
        has_news = True
        number = 0
        while has_news:
            has_news = False
            for cut in dice.sample(cuts, len(cuts)):
                states = {fingerprint(tree): (story, tree) for story, tree in self.disk.states(cut, dice, EFFORT)}
                promises = self.promises.at(cut)
                fresh = sorted(key for key in states if (key, len(promises)) not in seen)
                for key in dice.sample(fresh, min(PER_CUT, len(fresh))):
                    seen.add((key, len(promises)))
                    visited.add(cut)
                    self.report.cuts = len(visited)
                    has_news = True
                    number += 1
                    yield cut, *states[key], promises, number <= self.nested

    def _check(self, machine: Machine, cut: int, story: str, tree: Tree, promises, is_nested: bool) -> list[str]:
        event = self.disk.events[cut - 1] if cut else "the start"
        try:
            self.report.states += 1
            before = self._recover(machine, tree, promises, is_nested)
            if is_nested:
                self._cut_recovery(machine, before, promises, cut)
        except AssertionError as why:
            return [f"cut behind event {cut} ({event})\n    {story}\n    {why}"]
        return []

    def _recover(self, machine: Machine, tree: Tree, promises: list[Promise], is_traced: bool = False):
        """Recovers a state, and some once more: that must find nothing left to do. Returns what was laid out."""
        machine.lay_out(tree)
        before = faultline.snapshot(machine.state) if is_traced else {}
        ask = [promise.id for promise in promises if promise.kind == "device"][-2:]
        found = machine.recover(ask, is_traced)
        self.report.starts += 1
        self.judge(promises, found)
        left = fingerprint(self._state(found.tree))
        if left not in self._fixed and left[0] % ONE_AGAIN_IN == 0:
            again = machine.recover()
            self.report.starts += 1
            assert again.code == found.code, f"a second start ends with {again.code}: {again.stderr[-600:]}"
            self.judge(promises, again)
            assert self._state(again.tree) == self._state(found.tree), "a second recovery changes what the first has left"
            self._fixed.add(left)
        return before

    def _state(self, tree: Tree) -> Tree:
        """The logs and what was cut off them; not those to which every start may add."""
        added = (AUDIT, UPSTREAM) if self.settings else (AUDIT,)
        return {name: data for name, data in tree.items() if not name.startswith(added)}

    def _cut_recovery(self, machine: Machine, before, promises: list[Promise], seed: int):
        """The power goes again while a recovery is at work."""
        disk = Disk(faultline.read(machine.trace), before, IGNORED)
        dice = random.Random(seed)
        states = {fingerprint(one): (story, one) for at in disk.cuts() for story, one in disk.states(at, dice, 2)}
        for key in dice.sample(sorted(states), min(NESTED_STATES, len(states))):
            story, second = states[key]
            self.report.nested += 1
            try:
                self._recover(machine, second, promises)
            except AssertionError as why:
                raise AssertionError(f"and again during recovery: {story}: {why}") from None


def fingerprint(tree: Tree) -> bytes:
    """A hash of all names and contents."""
    digest = hashlib.blake2b(digest_size=16)
    for name, data in sorted(tree.items()):
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.digest()
