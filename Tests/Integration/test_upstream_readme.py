"""The README's sections about upstream, word by word; only names of hosts and paths are others here."""

import os
import re
import ssl
import subprocess

from harness import REPOSITORY, binary
from upstream import retained, rows, settled, shown

README = (REPOSITORY / "README.md").read_text()


def blocks(title: str) -> list[str]:
    """What stands between ``` in a section."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0].split("```\n")[1::2]


def block(title: str, word: str) -> str:
    [found] = [one for one in blocks(title) if word in one]
    return found


def configure(hub, title: str, **replaced: str):
    """Appends the section's [upstream] to the hub's configuration, each word of `replaced` by its value."""
    text = block(title, "[upstream]")
    for old, new in replaced.items():
        old = {"url": re.search(r"\S+://\S+", text)[0], "password": "/etc/nearhub/upstream.password"}[old]
        assert old in text
        text = text.replace(old, new)
    hub.configuration.write_text(hub.configuration.read_text() + text)


def run(script: str, directory, *hubs) -> str:
    """Runs commands in a directory; `nearhub` in line n talks to the n-th hub."""
    lines = script.strip().splitlines()
    out = ""
    for line, hub in zip(lines, hubs, strict=True):
        environment = {**hub.environment, "NEARHUB_CONFIG": str(hub.configuration)}
        environment["PATH"] = f"{directory}:{os.environ['PATH']}"
        link = directory / "nearhub"
        if not link.exists():
            link.symlink_to(binary())
        done = subprocess.run(["sh", "-c", line], cwd=directory, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (line, done)
        out += done.stdout
    return out


def test_sync_to_thingsboard(hubs, thingsboards, certificates, tmp_path):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.file("localhost.pem"), certificates.file("localhost.key"))
    server = thingsboards(tls=context).start()
    server.tenant.add_profile("meters", "the-key-of-meters-1", "the-secret-of-meters")
    for name, text in (("key", "the-key-of-meters-1\n"), ("secret", "the-secret-of-meters\n")):
        (tmp_path / f"meters.{name}").write_text(text)
    hub = hubs(f"upstream.ca-file={certificates.file('ca.pem')}")
    configure(hub, "Sync to ThingsBoard", url=server.url.replace("127.0.0.1", "localhost"))
    hub.start()
    run(block("Sync to ThingsBoard", "profile create"), tmp_path, hub)
    request = {"provisionDeviceKey": "the-key-of-meters-1", "provisionDeviceSecret": "the-secret-of-meters"}
    server.tenant.add_device("meter-2", "meters", token="somebodyElses")
    for name in ("meter-1", "meter-2"):
        hub.provision({"deviceName": name, **request})
    settled(hub, confirmed=1)
    looks = block("Sync to ThingsBoard", "upstream list").replace("systemctl restart nearhub\n", "")
    out = run(looks, tmp_path, hub, hub)
    assert "1 confirmed, 1 refused" in out and "FAILURE_UPSTREAM" in out
    for command in re.findall(r"^\| `nearhub (upstream [^`]+)`", README, re.M):
        words = command.replace("[NAME]", "meter-2").replace("NAME", "meter-2").replace("NEW", "meter-2-north").split()
        done = hub.cli(*words)
        assert done.code in (0, 1), (command, done)  # 1: there is nothing left to keep or to adopt
        settled(hub)
    assert shown(hub)["confirmed"] == 2 and "meter-2-north" in server.tenant.devices


def test_sync_to_any_broker(hubs, brokers):
    broker = brokers(plugin=False, users={"hub-1": "password-of-hub-1", "app": "password-of-app"})
    hub = hubs().start()
    identity = shown(hub)["hub"]
    hub.stop()
    rules = block("Sync to any broker", "topic write").replace("HUB", identity)
    broker.lines = [f"acl_file {broker.file('acl', rules + 'user app' + chr(10) + 'topic read nearhub/#' + chr(10))}"]
    broker.start()
    hub.guard("password-of-hub-1")
    hub.settings = ["upstream.allow-plaintext=yes"]
    configure(hub, "Sync to any broker", url=broker.url, password=str(hub.file("password", "password-of-hub-1")))
    hub.start()
    hub.provision(hub.create_profile("meters").request("meter-1"))
    settled(hub, confirmed=1)
    [record] = retained(broker, username="app", password="password-of-app").values()
    topics = re.findall(r"^\| `nearhub/HUB/(\S+)` \| `(\{.*?\})`", README, re.M)
    documented = dict(topics)["devices/ID"]
    assert re.findall(r'"(\w+)":', documented.replace("…", "")) == [one for one in record]
    command = block("Sync to any broker", "mosquitto_sub").replace("broker.example.org", "127.0.0.1").strip()
    done = subprocess.run(
        ["sh", "-c", f"{command} -p {broker.port} -u app -P password-of-app -W 2"], capture_output=True, text=True
    )
    assert done.stdout.startswith(f"nearhub/{identity}/devices/") and '"meter-1"' in done.stdout


def test_a_hub_behind_a_hub(hubs, brokers, tmp_path):
    broker = brokers().start()
    upper = hubs(*broker.hub_settings).start().connected()
    lower = hubs()
    configure(lower, "A hub behind a hub", url=broker.url)
    lower.start()
    profile = lower.create_profile("meters")
    upper.guard(profile.key, profile.secret)
    run(block("A hub behind a hub", "profile show"), tmp_path, lower, lower, lower, upper)
    given = lower.provision(profile.request("meter-1")).json
    settled(lower, confirmed=1)
    assert upper.credentials("meter-1")["credentialsId"] == given["credentialsId"]
    assert [one["state"] for one in rows(lower)] == ["confirmed"]
