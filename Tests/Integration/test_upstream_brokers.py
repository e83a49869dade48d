"""Upstream brokers with limits of their own: what fits goes through, and what does not is named."""

import re
import time

import pytest

from fake_broker import FakeBroker, answer
from harness import eventually
from upstream import becomes, provision_many, retained, rows, settings, settled, shown


def limited(brokers, *lines):
    return brokers(list(lines), plugin=False, anonymous=True).start()


def test_a_broker_that_takes_fewer_at_a_time_than_the_window(hubs, brokers):
    broker = limited(brokers, "max_inflight_messages 3", "max_queued_messages 0")
    hub = hubs(*settings("journal", broker.url, window=100)).start()
    provision_many(hub, hub.create_profile(), 500)
    settled(hub, confirmed=500)
    assert len(retained(broker)) == 500


def test_a_device_that_is_too_long_for_the_broker_is_refused_and_holds_nobody_up(hubs, brokers):
    broker = limited(brokers, "max_packet_size 2000")
    hub = hubs(*settings("journal", broker.url, include_credentials="yes", allow_plaintext="yes")).start()
    profile = hub.create_profile()
    hub.provision(profile.request("before"))
    hub.provision(profile.request("long", credentialsType="X509_CERTIFICATE", hash="MIIB" * 1000))
    hub.provision(profile.request("behind"))
    assert becomes(hub, "long", "refused")["reason"] == "QUOTA"  # 0x95, packet too large
    assert settled(hub, confirmed=2)["refused"] == 1
    assert {one["name"] for one in retained(broker).values()} == {"before", "behind"}
    assert len(re.findall("New client connected", broker.log)) <= 3


@pytest.mark.parametrize("line", ["retain_available false", "max_qos 0"])
def test_a_broker_that_cannot_do_what_is_needed_is_named(hubs, brokers, line):
    broker = limited(brokers, line)
    hub = hubs(*settings("journal", broker.url)).start()
    profile = hub.create_profile()
    hub.provision(profile.request("boiler"))
    time.sleep(8)
    now = shown(hub)
    assert now["confirmed"] == 0, now
    print(f"\n{line}: {now['state']}, {now['reason']}, {rows(hub)}")
    if now["refused"]:
        [row] = rows(hub, "refused")
        assert row["reason"]
    else:
        assert re.search("retain|qos", now["reason"], re.I)
    assert len(re.findall("New client connected|New connection", broker.log)) < 12  # it waits between tries
    assert hub.stderr.count("upstream is not connected") <= 3


def test_a_broker_of_mqtt_3_only_is_named(hubs):
    with FakeBroker(answer(b"\x20\x02\x00\x01")) as fake:
        hub = hubs(*settings("journal", fake.url)).start()
        now = eventually(lambda: (now := shown(hub))["reason"] and now, 20)
        assert re.search("version|MQTT 5", now["reason"], re.I), now


def test_names_of_every_kind_arrive(hubs, brokers, sites):
    names = ["żółw-日本", 'quote"d', "back\\slash", "a/b/+/#", "sp ace", "'single'", "emoji-🛢", "%s%n", "{a}", "x" * 255]
    broker = limited(brokers)
    hub = hubs(*settings("journal", broker.url)).start()
    site = sites(name_prefix="süd/")
    for one in (hub, site.hub):
        profile = one.create_profile("journal") if one is hub else site.profile
        for name in names:
            assert one.provision(profile.request(name)).json["status"] == "SUCCESS", name
    settled(hub, confirmed=len(names))
    assert {one["name"] for one in retained(broker).values()} == set(names)
    settled(site.hub)
    # With the prefix one is longer than ThingsBoard takes, which says no more than FAILURE.
    assert set(site.devices) == {"süd/" + name for name in names if len(name) < 250}
    assert [one["name"] for one in rows(site.hub, "refused")] == ["x" * 255]


def test_a_request_that_is_too_long_for_thingsboard_is_refused(site):
    """The hub takes a body of 64 KiB; with credentialsType named and without blanks it may be as long or longer."""
    fits = site.profile.request("fits", credentialsType="X509_CERTIFICATE", hash="M" * 60_000)
    long = site.profile.request("long", credentialsType="X509_CERTIFICATE", hash="\t" + "é" * 32_600)
    for request in (fits, long):
        assert site.hub.provision(request).json["status"] in ("SUCCESS", "FAILURE")
    now = settled(site.hub)
    assert "fits" in site.devices and now["confirmed"] >= 1
    assert not site.server.problems
