"""Compiles the libraries of this folder that are preloaded into a daemon."""

import fcntl
import functools
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parents[1] / ".build"
FLAGS = "-std=gnu17 -O2 -Wall -Wextra -Werror -fPIC -shared".split()


@functools.cache
def build(name: str) -> str:
    """The path of the compiled NAME.c; built anew when its source is younger."""
    source, library = HERE / f"{name}.c", BUILD / f"{name}.so"
    BUILD.mkdir(exist_ok=True)
    with open(library.with_suffix(".lock"), "w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
            made = library.with_suffix(".new")
            subprocess.run(["cc", *FLAGS, "-o", made, source, "-ldl", "-lpthread"], check=True, timeout=60)
            made.rename(library)
    return str(library)
