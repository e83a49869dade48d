"""A disk that takes its time: Tests/Benchmarks/slowsync.c, preloaded into a daemon."""

import functools
import os
import subprocess

from harness import REPOSITORY


@functools.cache
def library() -> str:
    """The compiled library; one for each process of tests."""
    path = REPOSITORY / ".build" / f"slowsync-{os.getpid()}.so"
    path.parent.mkdir(exist_ok=True)
    source = REPOSITORY / "Tests" / "Benchmarks" / "slowsync.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True, timeout=60)
    return str(path)


def environment(seconds: float) -> dict[str, str]:
    """What a daemon needs in its environment so that every fdatasync and fsync takes that much longer."""
    return {"LD_PRELOAD": library(), "SLOWSYNC_US": str(int(seconds * 1_000_000))}
