"""A disk that takes its time: Tests/Benchmarks/slowsync.c, preloaded into a daemon."""

import functools
import os
import subprocess

from harness import REPOSITORY


@functools.cache
def library() -> str:
    """The compiled library, made anew when its source is newer."""
    source = REPOSITORY / "Tests" / "Benchmarks" / "slowsync.c"
    path = REPOSITORY / ".build" / "slowsync.so"
    if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
        path.parent.mkdir(exist_ok=True)
        mine = path.with_suffix(f".{os.getpid()}")  # others may do the same at the same time
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", mine, source, "-ldl"], check=True, timeout=60)
        mine.replace(path)
    return str(path)


def environment(seconds: float) -> dict[str, str]:
    """What a daemon needs in its environment so that every fdatasync and fsync takes that much longer."""
    return {"LD_PRELOAD": library(), "SLOWSYNC_US": str(int(seconds * 1_000_000))}
