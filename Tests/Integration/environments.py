"""Programs of devices that need a Python environment of their own, and how a test runs them."""

import json
import subprocess

from harness import REPOSITORY

CLIENTS = REPOSITORY / "Tests" / "Integration" / "clients"
RUN_SECONDS = 60
NEW, OLD, THINGSBOARD = "venv", "venv-old", "venv-thingsboard"


def python(environment: str, program: str, *arguments, stdin: dict | str) -> subprocess.CompletedProcess:
    """Runs a program of Tests/Integration/clients; what it reads from stdin never stands in its arguments."""
    interpreter = REPOSITORY / environment / "bin" / "python"
    assert interpreter.exists(), f"no environment {environment}: make {environment}/installed"
    return run(interpreter, CLIENTS / program, *arguments, stdin=stdin)


def run(*command, stdin: dict | str = "") -> subprocess.CompletedProcess:
    """Runs a command to its end."""
    return subprocess.run(
        [str(part) for part in command],
        input=stdin if isinstance(stdin, str) else json.dumps(stdin),
        text=True,
        capture_output=True,
        timeout=RUN_SECONDS,
    )


def answer(hub, done: subprocess.CompletedProcess) -> dict:
    """The JSON that a client printed; it must have ended well."""
    assert done.returncode == 0, done.stderr
    hub.guard_answer(done.stdout.encode())
    return json.loads(done.stdout)
