"""What upstream refuses or has otherwise: a person sees it, decides, and nothing else waits for it."""

import json
import time

import pytest

from harness import eventually
from tenant import CHECK, FAILURE
from thingsboard import Behaviour
from upstream import CERTIFICATE, Site, becomes, provision_many, row, rows, settled, shown

# Refusals and conflicts


def test_a_refused_device_blocks_nobody_and_is_not_tried_again_by_itself(site):
    site.server.tenant.add_device("boiler", "meters", token="somebodyElses")
    mine = site.provision("boiler")["credentialsValue"]
    for number in range(5):
        site.provision(f"d{number}")
    now = settled(site.hub, confirmed=5)
    assert now["refused"] == 1
    refused = row(site.hub, "boiler")
    assert (refused["state"], refused["reason"]) == ("refused", "FAILURE_UPSTREAM")
    asked = len(site.server.order("boiler"))
    time.sleep(2)
    site.hub.restart()
    site.provision("after")
    settled(site.hub, confirmed=6)
    assert len(site.server.order("boiler")) == asked
    # It goes on working here.
    assert site.provision("boiler")["credentialsValue"] == mine
    assert site.devices["boiler"].value == "somebodyElses"


def test_a_refusal_that_comes_twice_is_not_taken_for_the_next_devices(sites):
    """No answer says which request it belongs to: the copy must not meet the next one, which is still under way."""
    site = sites(sessions=1)
    for number in range(5):
        site.server.tenant.add_device(f"taken{number}", "meters", token=f"somebodyElses{number}")
    site.server.always = lambda request: (
        Behaviour(early=True, again=0.05)
        if request.name.startswith("taken")
        else Behaviour(early=True, delay=0.15, late=True)
    )
    for number in range(5):
        site.provision(f"taken{number}")
        site.provision(f"mine{number}")
    now = settled(site.hub, confirmed=5, seconds=60)
    assert now["refused"] == 5 and {one["name"][:5] for one in rows(site.hub, "refused")} == {"taken"}


@pytest.mark.parametrize("sessions, lost", [(1, 5), (4, 17)])
def test_devices_whose_answers_are_always_lost_are_refused_by_nobody(sites, sessions, lost):
    """After five lost answers they were refused for good; and as many as are held at a time blocked all others."""
    site = sites(sessions=sessions)
    site.server.always = lambda request: (
        Behaviour(apply=False, close="before") if request.name.startswith("lost") else Behaviour()
    )
    for number in range(lost):  # more than are held at a time
        site.provision(f"lost{number}")

    def tried():
        site.provision(f"d{tried.count}")
        tried.count += 1
        time.sleep(0.2)
        return all(len(site.server.order(f"lost{number}")) >= 5 for number in range(lost))

    tried.count = 0
    eventually(tried, 150)
    eventually(lambda: shown(site.hub)["confirmed"] == tried.count, 20)
    now = shown(site.hub)
    assert now["refused"] == now["conflict"] == 0 and now["pending"] + now["sent"] == lost
    assert becomes(site.hub, "lost3", "pending")["reason"] is None
    site.server.always = lambda request: Behaviour()
    assert site.cli("retry").code == 0
    assert settled(site.hub, confirmed=tried.count + lost, seconds=40)["refused"] == 0


def test_retry_asks_again(site):
    site.server.tenant.maximum = 0
    site.provision("boiler")
    becomes(site.hub, "boiler", "refused")
    site.server.tenant.maximum = None
    done = site.cli("retry", "boiler")
    assert done.code == 0, done
    becomes(site.hub, "boiler", "confirmed")
    assert "boiler" in site.devices


def test_retry_of_all_that_were_refused(site):
    site.server.tenant.maximum = 0
    for number in range(5):
        site.provision(f"d{number}")
    eventually(lambda: shown(site.hub)["refused"] == 5)
    site.server.tenant.maximum = None
    assert site.cli("retry").code == 0
    settled(site.hub, confirmed=5)


def test_thousands_that_were_refused_are_listed_and_told_again_in_a_moment(sites):
    """Both were quadratic once: a minute for 3,000 devices, in which the hub answered nobody."""
    site = sites()
    site.server.tenant.maximum = 0
    provision_many(site.hub, site.profile, 2000)
    eventually(lambda: shown(site.hub)["refused"] == 2000, 60)
    began = time.monotonic()
    assert len(rows(site.hub, "refused")) == 2000
    listed = time.monotonic()
    site.server.tenant.maximum = None
    assert "2000" in site.cli("retry").out
    retried = time.monotonic()
    site.provision("meanwhile")
    answered = time.monotonic()
    settled(site.hub, confirmed=2001, seconds=60)
    print(f"\nlisted in {listed - began:.2f} s, told again in {retried - listed:.2f} s, one answered in "
          f"{answered - retried:.3f} s")  # fmt: skip
    assert listed - began < 10 and retried - listed < 10


def test_rename_upstream_only(site):
    site.server.tenant.add_device("boiler", "meters", token="somebodyElses")
    mine = site.provision("boiler")["credentialsValue"]
    becomes(site.hub, "boiler", "refused")
    done = site.cli("resolve", "boiler", "--rename", "boiler-north")
    assert done.code == 0, done
    confirmed = becomes(site.hub, "boiler", "confirmed")
    assert confirmed["upstreamName"] == "boiler-north"
    assert site.devices["boiler-north"].value == mine and site.devices["boiler"].value == "somebodyElses"
    assert site.hub.device("boiler") and not site.hub.device("boiler-north")
    site.hub.restart()
    assert row(site.hub, "boiler")["upstreamName"] == "boiler-north"


@pytest.mark.parametrize("members", [
    {}, {"credentialsType": "MQTT_BASIC", "clientId": "c-of-it", "username": "u-of-it", "password": "p-of-it-1"},
    {"credentialsType": "MQTT_BASIC", "username": "u-of-it", "password": "p-of-it-1"},
], ids=["token", "basic", "user"])  # fmt: skip
def test_failure_of_a_device_that_is_there_already_is_success(site, members):
    """As after a restore from a backup: the server has it, with these credentials."""
    site.server.next(Behaviour(payload=json.dumps(FAILURE).encode()))
    site.provision("boiler", **members)
    becomes(site.hub, "boiler", "confirmed")
    assert len(site.server.requests) == 1
    [login] = [one for one in site.server.sessions if one.device is not None]
    assert login.device.name == "boiler" and not login.requests


def test_a_certificate_cannot_be_tested(site):
    site.server.next(Behaviour(status="FAILURE"))
    site.provision("boiler", credentialsType="X509_CERTIFICATE", hash=CERTIFICATE)
    assert becomes(site.hub, "boiler", "refused")["reason"] == "NEEDS_CHECK"


def test_not_found_stops_the_queue(site):
    meters = site.server.tenant.profiles["meters"]
    right, meters.secret = meters.secret, "not the right one"
    provision_many(site.hub, site.profile, 20)
    now = eventually(lambda: (now := shown(site.hub))["state"] == "stopped" and now, 20)
    assert now["reason"] and now["pending"] + now["sent"] == 20
    time.sleep(0.5)  # what was on its way is answered
    asked = len(site.server.requests)
    assert asked <= 4  # one on each session
    time.sleep(3)
    assert len(site.server.requests) == asked and shown(site.hub)["state"] == "stopped"
    assert site.provision("still works")["status"] == "SUCCESS"
    meters.secret = right
    assert site.cli("retry").code == 0
    settled(site.hub, confirmed=21)


@pytest.mark.parametrize("end", ["there", "here"])
def test_a_restart_after_not_found_goes_on(sites, end):
    """Mended upstream, or by another key in the configuration; devices that have changed meanwhile go as they are."""
    site = sites()
    meters = site.server.tenant.profiles["meters"]
    right, meters.secret = meters.secret, "not the right one"
    provision_many(site.hub, site.profile, 5)
    eventually(lambda: shown(site.hub)["state"] == "stopped", 20)
    if end == "there":
        meters.secret = right
    else:
        site.hub.guard("not the right one", "the key of another")
        site.server.tenant.add_profile("others", "the key of another", "the secret of another")
        files = {"key": site.hub.file("k", "the key of another"), "secret": site.hub.file("s", "the secret of another")}
        site.hub.settings += [f"upstream.provision-{name}-file={file}" for name, file in files.items()]
        site.hub.settings += ["upstream.allow-plaintext=yes"]
    site.hub.restart()
    assert settled(site.hub, confirmed=5)["state"] == "connected"
    profile = "meters" if end == "there" else "others"
    assert {one.profile for one in site.devices.values()} == {profile}


def conflicting(sites) -> Site:
    """A site whose upstream knows the device already, with credentials of its own."""
    site = sites()
    site.server.tenant.profiles["meters"].strategy = CHECK
    site.server.tenant.add_device("boiler", "meters", token="upstreamsOwnToken123")
    site.hub.guard("upstreamsOwnToken123")
    return site


def test_other_credentials_upstream_are_a_conflict(sites):
    site = conflicting(sites)
    mine = site.provision("boiler")["credentialsValue"]
    conflict = becomes(site.hub, "boiler", "conflict")
    assert "credentialsId" in conflict["differs"]
    assert site.hub.credentials("boiler")["credentialsId"] == mine
    assert "upstreamsOwnToken123" not in site.cli("list").out
    done = site.cli("resolve", "boiler", "--keep-local")
    assert done.code == 0, done
    assert site.hub.credentials("boiler")["credentialsId"] == mine
    assert shown(site.hub)["conflict"] == 0


def test_a_device_adopts_upstreams_credentials_when_it_asks_next(sites):
    site = conflicting(sites)
    site.provision("boiler")
    becomes(site.hub, "boiler", "conflict")
    done = site.cli("resolve", "boiler", "--adopt")
    assert done.code == 0, done
    assert site.provision("boiler")["credentialsValue"] == "upstreamsOwnToken123"
    assert site.hub.credentials("boiler")["credentialsId"] == "upstreamsOwnToken123"
    becomes(site.hub, "boiler", "confirmed")
    site.hub.restart()
    assert row(site.hub, "boiler")["state"] == "confirmed"


# What people see


def test_list_as_a_table_and_as_json(site):
    site.server.tenant.add_device("taken", "meters", token="somebodyElses")
    for name in ("boiler", "taken"):
        site.provision(name)
    settled(site.hub, confirmed=1)
    listed = site.cli("list")
    assert listed.code == 0 and "boiler" in listed.out and "FAILURE_UPSTREAM" in listed.out
    only = site.cli("list", "--state", "refused", "--json")
    assert [one["name"] for one in only.json["devices"]] == ["taken"]
    assert "boiler" not in site.cli("list", "--state", "refused").out
    assert site.cli("list", "--state", "nonsense").code == 64
    status = site.hub.cli("status")
    assert "upstream" in status.out.lower() and str(site.server.port) in status.out


def test_status_names_what_programs_need(site):
    now = shown(site.hub)
    assert now.keys() >= {
        "dialect", "url", "state", "since", "reason", "nextTry", "cursor", "pending", "sent", "confirmed", "refused",
        "conflict", "hub",
    }  # fmt: skip
    assert now["dialect"] == "thingsboard" and now["url"] == site.server.url and len(now["hub"]) == 32


@pytest.mark.parametrize("arguments, code", [
    (("retry", "nobody"), 1), (("resolve", "nobody", "--keep-local"), 1), (("resolve", "boiler"), 64),
    (("resolve", "boiler", "--keep-local", "--adopt"), 64), (("resolve", "boiler", "--rename", ""), None),
    (("resolve", "boiler", "--adopt"), 1),
], ids=lambda one: "-".join(one) if isinstance(one, tuple) else str(one))  # fmt: skip
def test_a_command_that_makes_no_sense_is_refused(site, arguments, code):
    site.provision("boiler")
    settled(site.hub, confirmed=1)
    done = site.cli(*arguments)
    assert done.code == code if code is not None else done.code != 0
    assert done.err.startswith(("nearhub: ", "Error: "))
