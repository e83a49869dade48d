"""[upstream]: what cannot be is refused at the start and by `nearhub check`, with file and line."""

import re

import pytest

PLAIN, TLS = "mqtt://127.0.0.1", "mqtts://127.0.0.1"
BAD = {
    "no-url": {"dialect": "journal"},
    "unknown-dialect": {"dialect": "aws", "url": PLAIN},
    "bad-url": {"dialect": "journal", "url": "http://127.0.0.1"},
    "password-over-plain-tcp": {"dialect": "journal", "url": PLAIN, "username": "u", "password-file": "PASSWORD"},
    "token-over-plain-tcp": {"dialect": "thingsboard-gateway", "url": PLAIN, "username": "tokenOfTheHub"},
    "secret-over-plain-tcp": {
        "dialect": "thingsboard", "url": PLAIN, "provision-key-file": "PASSWORD", "provision-secret-file": "PASSWORD",
    },
    "credentials-over-plain-tcp": {"dialect": "journal", "url": PLAIN, "include-credentials": "yes"},
    "password-is-missing": {"dialect": "journal", "url": TLS, "username": "u", "password-file": "/nowhere"},
    "authorities-are-missing": {"dialect": "journal", "url": TLS, "ca-file": "/nowhere"},
    "authorities-are-none": {"dialect": "journal", "url": TLS, "ca-file": "PASSWORD"},
    "window-0": {"dialect": "journal", "url": PLAIN, "window": "0"},
    "window-101": {"dialect": "journal", "url": PLAIN, "window": "101"},
    "sessions-17": {"dialect": "thingsboard", "url": PLAIN, "sessions": "17"},
    "rate-0": {"dialect": "thingsboard", "url": PLAIN, "rate": "0"},
    "rate-much": {"dialect": "thingsboard", "url": PLAIN, "rate": "10001"},
    "key-without-secret": {"dialect": "thingsboard", "url": PLAIN, "provision-key-file": "PASSWORD"},
}


@pytest.mark.parametrize("keys", BAD.values(), ids=BAD.keys())
def test_a_configuration_that_cannot_be_is_refused_with_file_and_line(hubs, keys):
    hub = hubs()
    password = hub.file("password", "passwordOfTheHub")
    hub.guard("passwordOfTheHub", "tokenOfTheHub")
    lines = [f"{name} = {value}".replace("PASSWORD", str(password)) for name, value in keys.items()]
    text = hub.configuration.read_text()
    hub.configuration.write_text(text + "\n[upstream]\n" + "\n".join(lines) + "\n")
    first = text.count("\n") + 2
    for run in (hub.refused(), hub.cli("check", "--config", hub.configuration, "--state", hub.state)):
        assert run.code == 78, run
        named = re.search(re.escape(str(hub.configuration)) + r":(\d+)", run.out + run.err)
        assert named and first <= int(named[1]) <= first + len(lines), run
