"""A disk without room, and logs that end early: upstream goes on where it can, and remembers what it must."""

import pytest

from harness import eventually
from test_disk_full import Disk
from upstream import FAST, becomes, row, settings, settled, shown


@pytest.fixture
def server(thingsboards):
    return thingsboards().start()


@pytest.fixture
def full(hubs, server):
    """A hub on a disk that fills up, with devices that wait for the server."""
    hub = hubs(*settings("thingsboard", server.url, **FAST))
    disk = Disk(hub)
    hub.start()
    profile = hub.create_profile("meters")
    server.tenant.add_profile("meters", profile.key, profile.secret)
    server.tenant.add_device("taken", "meters", token="somebodyElses")
    server.stop()
    for name in ("a", "taken", "b"):
        assert hub.provision(profile.request(name)).json["status"] == "SUCCESS"
    disk.fill()
    number = 0
    while hub.provision(profile.request(f"f{number}")).json["status"] == "SUCCESS":
        number += 1
    yield hub, disk, profile, number
    disk.close()


def test_what_came_before_the_disk_was_full_arrives_once_and_is_remembered(full, server):
    hub, disk, profile, found_room = full
    server.start()
    eventually(lambda: shown(hub)["state"] == "connected", 30)
    disk.free()
    now = settled(hub, confirmed=2 + found_room, seconds=60)
    assert now["refused"] == 1 and row(hub, "taken")["reason"] == "FAILURE_UPSTREAM"
    # The log of devices is tried again by itself, every 5 s.
    eventually(lambda: hub.provision(profile.request("after")).json["status"] == "SUCCESS", 20, every=0.5)
    settled(hub, confirmed=3 + found_room)
    asked = len(server.requests)
    hub.restart()
    settled(hub, confirmed=3 + found_room)
    assert row(hub, "taken")["state"] == "refused"
    hub.provision(profile.request("last"))
    settled(hub, confirmed=4 + found_room)
    assert len(server.requests) == asked + 1


def test_a_retry_on_a_full_disk_is_refused_or_works(full, server):
    hub, disk, profile, found_room = full
    disk.free()
    server.start()
    becomes(hub, "taken", "refused", 40)
    disk.fill()
    while hub.provision(profile.request(f"g{found_room}")).json["status"] == "SUCCESS":
        found_room += 1
    server.tenant.devices.pop("taken")
    server.tenant.owners.pop("somebodyElses")
    first = hub.cli("upstream", "retry", "taken")
    assert first.code in (0, 1, 74, 75), first
    disk.free()
    # When there is room it goes on by itself.
    eventually(lambda: hub.provision(profile.request("after")).json["status"] == "SUCCESS", 20, 0.5)
    if first.code != 0:
        assert hub.cli("upstream", "retry").code == 0
    becomes(hub, "taken", "confirmed", 40)


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_a_torn_end_of_its_log_costs_repetitions_at_most(sites, cut):
    site = sites()
    site.server.tenant.add_device("taken", "meters", token="somebodyElses")
    for name in ("a", "taken", "b", "c"):
        site.provision(name)
    settled(site.hub, confirmed=3)
    site.hub.kill9()
    path = site.hub.state / "upstream.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    site.hub.start()
    settled(site.hub, confirmed=3)
    assert row(site.hub, "taken")["state"] == "refused"
    assert sorted(site.devices) == ["a", "b", "c", "taken"] and len(site.server.tenant.created) == 4
