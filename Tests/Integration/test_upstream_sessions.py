"""Sessions of dialect thingsboard come and go by the hundred, and leave nothing behind."""

import os
import pathlib
import ssl
import time

import pytest

from harness import eventually
from upstream import FAST, provision_many, settings, settled, shown

ROUNDS, EACH = 4, 300


def size(hub) -> dict[str, int]:
    """Descriptors, threads and anonymous memory (KiB) of the daemon."""
    eventually(lambda: hub.status()["http"]["connections"] == 0)  # those of the devices
    process = pathlib.Path("/proc") / str(hub.process.pid)
    facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return {
        "descriptors": len(os.listdir(process / "fd")),
        "threads": int(facts["Threads"]),
        "memory": int(facts["RssAnon"].split()[0]),
    }


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_hundreds_of_sessions_leave_nothing_behind(hubs, thingsboards, certificates, secure):
    options, context = dict(FAST), None
    if secure:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.file("localhost.pem"), certificates.file("localhost.key"))
        options["ca_file"] = certificates.file("ca.pem")
    server = thingsboards(tls=context, lifetime=0.03).start()
    hub = hubs(*settings("thingsboard", server.url.replace("127.0.0.1", "localhost"), **options)).start()
    profile = hub.create_profile("meters")
    server.tenant.add_profile("meters", profile.key, profile.secret)
    sizes = []
    for number in range(ROUNDS):
        provision_many(hub, profile, EACH, f"r{number}-")
        settled(hub, confirmed=EACH * (number + 1), seconds=100)
        sizes.append(size(hub))
    print(f"\n{len(server.sessions)} sessions, {len(server.refused)} refused logins: {sizes[0]} -> {sizes[-1]}")
    assert len(server.sessions) >= 20  # a fast hub needs fewer
    assert sizes[-1]["descriptors"] - sizes[0]["descriptors"] < 24  # four or five for each of the four sessions
    assert sizes[-1]["threads"] - sizes[0]["threads"] < 6
    assert sizes[-1]["memory"] - sizes[0]["memory"] < 600


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_a_hub_that_connects_stops_at_any_moment(hubs, thingsboards, certificates, secure):
    context = None
    if secure:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.file("localhost.pem"), certificates.file("localhost.key"))
    server = thingsboards(tls=context).start()
    url = server.url.replace("127.0.0.1", "localhost")
    more = {"ca_file": certificates.file("ca.pem")} if secure else {}
    hub = hubs(*settings("thingsboard", url, **FAST, **more))
    for _ in range(20):  # an exit status other than 0 is a problem of the hub
        hub.start()
        hub.stop()


@pytest.mark.slow
def test_a_session_without_anything_to_do_is_kept_alive(site):
    """ThingsBoard closes a connection on which nothing came for one time and a half the keep-alive."""
    site.provision("boiler")
    settled(site.hub, confirmed=1)
    [session] = [one for one in site.server.provisioning if one.requests]
    time.sleep(35)
    # Another one than the permanent session may have been left for want of work, by the hub.
    assert session.closed is None or session.ended_by != "server"
    assert [one for one in site.server.provisioning if one.closed is None]
    assert shown(site.hub)["state"] == "connected"
