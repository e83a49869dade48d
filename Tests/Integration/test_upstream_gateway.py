"""Dialect thingsboard-gateway: ThingsBoard learns of devices through the hub's own device, without credentials."""

import pytest

from harness import eventually
from thingsboard import ThingsBoard
from upstream import away, provision_many, settings, settled, shown, works

TOKEN = "tokenOfTheGateway"


@pytest.fixture
def below(hubs):
    """Makes a hub that is the gateway of a server."""

    def make(server: ThingsBoard, token: str = TOKEN, url: str | None = None):
        hub = hubs()
        file = {"password_file": hub.file("token", token), "allow_plaintext": "yes"}
        hub.guard(token)
        hub.settings = settings("thingsboard-gateway", url or server.url, **file)
        return hub.start()

    return make


@pytest.fixture
def server(thingsboards):
    server = thingsboards().start()
    server.tenant.add_device("box", token=TOKEN, gateway=True)
    return server


def test_devices_are_made_known_with_profile_and_attributes(server, below):
    hub = below(server)
    given = hub.provision(hub.create_profile("meters").request("boiler")).json
    settled(hub, confirmed=1)
    boiler = server.tenant.devices["boiler"]
    assert boiler.profile == "meters" and boiler.attributes["provisionState"] == "provisioned"
    assert boiler.value != given["credentialsValue"]  # the API cannot carry it
    assert not server.requests


def test_many_arrive_and_a_broken_link_loses_none(server, below, proxies):
    link = proxies(server.port)
    hub = below(server, url=link.url)
    profile = hub.create_profile("meters")
    for number in range(4):
        provision_many(hub, profile, 100, f"r{number}-")
        link.cut()
    settled(hub, confirmed=400, seconds=60)
    assert len(server.tenant.devices) == 401


def test_a_token_of_nobody_is_named(server, below):
    hub = below(server, "tokenOfNobody")
    works(hub, hub.create_profile())
    now = away(hub)
    assert "tokenOfNobody" not in now["reason"] and shown(hub)["confirmed"] == 0
    assert server.refused


@pytest.mark.slow
def test_a_device_that_is_no_gateway_is_named(server, below):
    """ThingsBoard does not even acknowledge what it says."""
    server.tenant.devices["box"].gateway = False
    hub = below(server)
    works(hub, hub.create_profile())
    now = eventually(lambda: "gateway" in (shown(hub)["reason"] or "") and shown(hub), 30)
    assert now["confirmed"] == 0
    server.tenant.devices["box"].gateway = True
    assert hub.cli("upstream", "retry").code == 0
    settled(hub, confirmed=1)
