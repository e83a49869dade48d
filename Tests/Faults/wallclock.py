"""Another wall clock for a daemon: wallclock.c of this folder, preloaded."""

from __future__ import annotations

import mmap
import pathlib
import struct
import time

from interposer import build


class WallClock:
    """The wall clock of whoever is started with `environment`; real until it is set."""

    def __init__(self, file: pathlib.Path):
        self.file = file
        file.write_bytes(bytes(8))
        with open(file, "r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 8)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": build("wallclock"), "WALLCLOCK_FILE": str(self.file)}

    def set(self, seconds: int):
        """It says so many seconds since 1970 from now on, and goes on from there; any 64-bit number."""
        self._write(min(max(seconds - int(time.time()), -(2**63)), 2**63 - 1))

    def jump(self, seconds: int):
        """It goes so many seconds forth, or back."""
        self._write(struct.unpack("=q", self._map[:])[0] + seconds)

    def _write(self, shift: int):
        self._map[:] = struct.pack("=q", shift)
