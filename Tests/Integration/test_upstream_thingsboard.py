"""Dialect thingsboard: each device is provisioned upstream with the credentials it has here, whatever upstream does."""

import time

import pytest

import upstream
from harness import canary, eventually
from thingsboard import Behaviour
from upstream import CERTIFICATE, FAST, provision_many, row, settled, shown

# What arrives


@pytest.mark.parametrize("members", [
    {}, {"token": "tokenOfMyOwn1"}, {"credentialsType": "X509_CERTIFICATE", "hash": CERTIFICATE},
    {"credentialsType": "MQTT_BASIC", "clientId": "client-of-it", "username": "user-of-it", "password": "secret-of-it"},
    {"credentialsType": "MQTT_BASIC", "username": "user-of-it", "password": "secret-of-it"},
    {"credentialsType": "MQTT_BASIC", "clientId": "client-of-it"},
], ids=["made-up", "token", "certificate", "basic", "user", "client-id"])  # fmt: skip
def test_a_device_has_the_same_credentials_at_both_ends(site, members):
    given = site.provision("boiler", **members)
    settled(site.hub, confirmed=1)
    device = site.devices["boiler"]
    assert (device.type, device.value) == (given["credentialsType"], given["credentialsValue"])
    assert device.profile == "meters" and not device.gateway
    assert row(site.hub, "boiler") | {"state": "confirmed", "reason": None} == row(site.hub, "boiler")


def test_a_name_that_the_hub_made_up_arrives(site):
    given = site.provision(None)
    settled(site.hub, confirmed=1)
    assert list(site.devices) == [given["deviceName"]]


def test_a_gateway_arrives_as_one(hubs, thingsboards):
    server = thingsboards().start()
    hub = hubs(*upstream.settings("thingsboard", server.url)).start()
    profile = hub.create_profile("boxes", allowGateway=True)
    server.tenant.add_profile("boxes", profile.key, profile.secret)
    hub.provision(profile.request("box", gateway=True))
    settled(hub, confirmed=1)
    assert server.tenant.devices["box"].gateway


@pytest.mark.parametrize("suback", [True, False], ids=["3.9", "3.8"])
def test_many_arrive_one_at_a_time_on_each_session(sites, suback):
    site = sites(server={"suback": suback})
    provision_many(site.hub, site.profile, 400)
    settled(site.hub, confirmed=400)
    assert len(site.devices) == 400 and len(site.server.requests) == 400
    assert site.server.most_open == 1
    hub = shown(site.hub)["hub"]
    ids = {one.connect.client_id for one in site.server.provisioning}
    assert ids <= {f"nearhub-{hub[:16]}-{number}" for number in range(0, 5)} and 1 <= len(ids) <= 4
    assert all(one.qos == 1 for one in site.server.requests)


def test_as_many_sessions_as_are_configured(sites):
    site = sites(sessions=2)
    site.server.always = lambda request: Behaviour(delay=0.05)
    provision_many(site.hub, site.profile, 40)
    settled(site.hub, confirmed=40)
    assert len(site.server.provisioning) == 2 and site.server.most_open == 1


def test_no_more_devices_a_second_than_configured(sites):
    site = sites(rate=20)
    provision_many(site.hub, site.profile, 60)
    settled(site.hub, confirmed=60)
    took = site.server.requests[-1].at - site.server.requests[0].at
    print(f"\n60 devices at 20 a second in {took:.2f} s, at most {site.server.most_in(1)} in one second")
    assert took > 1.8 and site.server.most_in(1) <= 41  # a second's worth at once, and then 20 a second


def test_five_a_second_by_default(sites):
    site = sites(rate=5)
    site.hub.settings = [one for one in site.hub.settings if not one.startswith("upstream.rate")]
    site.hub.restart()
    provision_many(site.hub, site.profile, 20)
    settled(site.hub, confirmed=20)
    took = site.server.requests[-1].at - site.server.requests[0].at
    assert took > 2.5, f"20 devices in {took:.2f} s"


def test_only_what_was_provisioned_is_sent(site):
    site.hub.add_device("imported", site.profile)
    site.provision("boiler")
    settled(site.hub, confirmed=1)
    assert list(site.devices) == ["boiler"]


def test_a_device_that_changes_is_looked_for_and_not_asked_for_again(site):
    site.provision("boiler")
    settled(site.hub, confirmed=1)
    device = site.hub.device("boiler")
    path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/attributes/SERVER_SCOPE"
    site.hub.ask("POST", path, {"floor": 3})
    eventually(lambda: [one for one in site.server.sessions if one.device is not None])
    settled(site.hub, confirmed=1)
    assert len(site.server.requests) == 1 and row(site.hub, "boiler")["state"] == "confirmed"


def test_a_prefix_for_sites_whose_names_collide(sites):
    site = sites(name_prefix="north-")
    site.provision("boiler")
    settled(site.hub, confirmed=1)
    assert list(site.devices) == ["north-boiler"]
    found = row(site.hub, "boiler")
    assert found["upstreamName"] == "north-boiler" and site.hub.device("boiler") is not None


def test_one_profile_upstream_for_all(hubs, thingsboards):
    server = thingsboards().start()
    key, secret = canary("key"), canary("secret")
    server.tenant.add_profile("all", key, secret)
    hub = hubs()
    hub.guard(key, secret)
    files = {"provision_key_file": hub.file("k", key + "\n"), "provision_secret_file": hub.file("s", secret + "\n")}
    files["allow_plaintext"] = "yes"
    hub.settings = upstream.settings("thingsboard", server.url, **FAST, **files)
    hub.start()
    for name in ("meters", "valves"):
        hub.provision(hub.create_profile(name).request("d-" + name))
    settled(hub, confirmed=2)
    assert {one.profile for one in server.tenant.devices.values()} == {"all"}


# Upstreams that are slow, that break, that lie


@pytest.mark.parametrize("lifetime", [0.02, 0.3])
def test_a_server_that_closes_a_while_after_each_answer(sites, lifetime):
    site = sites(server={"lifetime": lifetime})
    provision_many(site.hub, site.profile, 200)
    settled(site.hub, confirmed=200, seconds=90)
    assert len(site.devices) == 200 and site.server.most_open == 1
    assert shown(site.hub)["refused"] == shown(site.hub)["conflict"] == 0


@pytest.mark.parametrize("behaviour", [
    Behaviour(copies=2), Behaviour(copies=3, delay=0.05), Behaviour(delay=0.5), Behaviour(payload=b"\xff\x00{"),
    Behaviour(payload=b""), Behaviour(payload=b"[]"), Behaviour(payload=b"{}"),
    Behaviour(payload=b'{"status":"SUCCESS"}'), Behaviour(payload=b'{"status":"MAYBE"}'), Behaviour(payload=b"x" * 60_000), Behaviour(close="before"),
    Behaviour(close="after"), Behaviour(apply=False, close="before"), Behaviour(apply=False, payload=b"?"),
], ids=[
    "twice", "three-times", "late", "noise", "empty", "array", "no-status", "no-credentials", "strange-status", "long",
    "closed-instead", "closed-after", "not-done-and-closed", "not-done-and-noise",
])  # fmt: skip
def test_every_third_answer_is_odd_and_all_arrive_once(sites, behaviour):
    site = sites()
    odd = set()

    def every_third(request):
        # Each device once: one whose request failed is asked for again, and that must go well.
        if int(request.name[1:]) % 3 or request.name in odd:
            return Behaviour()
        odd.add(request.name)
        return behaviour

    site.server.always = every_third
    given = {f"d{number}": site.provision(f"d{number}")["credentialsValue"] for number in range(30)}
    settled(site.hub, confirmed=30, seconds=100)
    assert odd, "no answer was odd"
    assert {name: one.value for name, one in site.devices.items()} == given
    assert sorted(site.server.tenant.created) == sorted(given)
    assert site.server.most_open == 1


@pytest.mark.slow
@pytest.mark.parametrize("apply", [True, False], ids=["done", "not-done"])
def test_an_answer_that_never_comes_is_awaited_for_15_seconds(sites, apply):
    site = sites()
    site.server.next(Behaviour(apply=apply, copies=0))
    site.provision("boiler")
    settled(site.hub, confirmed=1, seconds=60)
    first = site.server.requests[0]
    assert 13 < first.session.closed - first.at < 20
    assert len(site.server.order("boiler")) == (1 if apply else 2)
    # What was unknown was found out by the device's own credentials.
    logins = [one for one in site.server.sessions if one.device is not None]
    assert len(logins) + len(site.server.refused) >= 1


def test_a_certificate_whose_answer_was_lost_is_asked_for_again(site):
    """Nobody but the device can log in with it: what upstream says to the second request decides."""
    site.server.next(Behaviour(apply=False, close="before"))
    site.provision("boiler", credentialsType="X509_CERTIFICATE", hash=CERTIFICATE)
    settled(site.hub, confirmed=1)
    site.server.next(Behaviour(close="before"))
    site.provision("valve", credentialsType="X509_CERTIFICATE", hash=CERTIFICATE + "AA==")
    now = settled(site.hub)
    assert (now["confirmed"], now["refused"]) == (1, 1)
    assert row(site.hub, "valve")["reason"] == "NEEDS_CHECK"


@pytest.mark.slow
def test_a_session_is_left_before_the_server_closes_it(sites):
    site = sites(sessions=1, rate=2)
    for number in range(112):
        site.provision(f"d{number}")
    settled(site.hub, confirmed=112, seconds=90)
    sessions = site.server.provisioning
    assert len(sessions) >= 2
    assert sessions[0].ended_by != "server" and sessions[0].closed - sessions[0].requests[0].answered[0] < 58


def test_what_is_in_flight_when_the_server_crashes_arrives_once(sites):
    site = sites()
    provision_many(site.hub, site.profile, 300)
    site.server.always = lambda request: Behaviour(delay=0.002)
    for _ in range(5):
        time.sleep(0.1)
        site.server.drop()
    site.server.stop()
    time.sleep(0.3)
    site.server.start()
    settled(site.hub, confirmed=300, seconds=90)
    assert len(site.devices) == 300 and site.server.most_open == 1
