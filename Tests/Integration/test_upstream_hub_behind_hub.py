"""A hub behind a hub: the upstream of dialect thingsboard is another Nearhub, behind Mosquitto and the plugin."""

import time

import pytest

import upstream
from harness import eventually
from upstream import becomes, provision_many, row, settled, shown


class Chain:
    """An upper hub behind its broker, a lower one whose upstream it is, and one profile in both."""

    def __init__(self, hubs, brokers, **options):
        self.broker = brokers().start()
        self.upper = hubs(*self.broker.hub_settings).start().connected()
        options = {"rate": "unlimited", **options}
        self.lower = hubs(*upstream.settings("thingsboard", self.broker.url, **options)).start()
        self.profile = self.lower.create_profile("meters")
        self.above = self.upper.create_profile("meters", key=self.profile.key, secret=self.profile.secret)
        self.broker.guard(self.profile.key, self.profile.secret)


@pytest.fixture
def chains(hubs, brokers):
    return lambda **options: Chain(hubs, brokers, **options)


@pytest.fixture
def chain(chains):
    return chains()


@pytest.mark.parametrize("members", [
    {}, {"token": "tokenOfMyOwn1"}, {"credentialsType": "X509_CERTIFICATE", "hash": "MIIBszCCAVmgAwIBAgIUQ0NDQ0NDQ0M="},
    {"credentialsType": "MQTT_BASIC", "clientId": "client-of-it", "username": "user-of-it", "password": "secret-of-it"},
], ids=["made-up", "token", "certificate", "basic"])  # fmt: skip
def test_a_device_has_the_same_credentials_in_both_hubs(chain, members):
    given = chain.lower.provision(chain.profile.request("boiler", **members)).json
    settled(chain.lower, confirmed=1)
    below, above = chain.lower.credentials("boiler"), chain.upper.credentials("boiler")
    for member in ("credentialsType", "credentialsId", "credentialsValue"):
        assert above[member] == below[member]
    assert given["credentialsId"] == above["credentialsId"]


def test_a_device_that_moves_to_the_upper_hub_is_known_there(chain):
    given = chain.lower.provision(chain.profile.request("boiler")).json
    settled(chain.lower, confirmed=1)
    token = given["credentialsValue"]
    again = chain.upper.provision(chain.above.request("boiler", token=token)).json
    assert again["credentialsValue"] == token


def test_a_device_that_the_upper_hub_made_is_a_refusal_with_other_credentials_and_none_with_the_same(chain):
    chain.upper.provision(chain.above.request("taken"))
    chain.upper.provision(chain.above.request("same", token="tokenOfTheSame"))
    chain.lower.provision(chain.profile.request("taken"))
    chain.lower.provision(chain.profile.request("same", token="tokenOfTheSame"))
    now = settled(chain.lower, confirmed=1)
    assert now["refused"] == 1
    assert row(chain.lower, "taken")["reason"] == "FAILURE_UPSTREAM"
    assert row(chain.lower, "same")["state"] == "confirmed"
    assert len(chain.upper.devices()) == 2


def test_a_thousand_devices_while_all_three_break(chain):
    provision_many(chain.lower, chain.profile, 300, "a")
    chain.broker.kill9()
    provision_many(chain.lower, chain.profile, 300, "b")
    chain.broker.start()
    eventually(lambda: shown(chain.lower)["confirmed"] > 100, 60)
    chain.upper.kill9()
    provision_many(chain.lower, chain.profile, 300, "c")
    chain.upper.start()
    eventually(lambda: shown(chain.lower)["confirmed"] > 400, 60)
    chain.lower.kill9()
    chain.lower.start()
    provision_many(chain.lower, chain.profile, 100, "d")
    settled(chain.lower, confirmed=1000, seconds=120)
    assert upstream.credentials(chain.upper) == upstream.credentials(chain.lower)
    assert len(chain.upper.devices()) == 1000


def test_again_after_the_lower_hub_forgot_what_was_confirmed(chain):
    """upstream.jsonl is lost: everything is sent again, and nothing changes above."""
    provision_many(chain.lower, chain.profile, 50)
    settled(chain.lower, confirmed=50)
    before = upstream.credentials(chain.upper)
    seqs = [one["seq"] for one in upstream.written(chain.upper).values()]
    hub = shown(chain.lower)["hub"]
    chain.lower.stop()
    for path in chain.lower.state.glob("upstream.jsonl*"):
        path.unlink()
    chain.lower.start()
    settled(chain.lower, confirmed=50)
    assert upstream.credentials(chain.upper) == before
    assert [one["seq"] for one in upstream.written(chain.upper).values()] == seqs
    assert shown(chain.lower)["hub"] == hub


def test_three_in_a_chain(hubs, brokers):
    top_broker, middle_broker = brokers().start(), brokers().start()
    top = hubs(*top_broker.hub_settings).start().connected()
    middle = hubs(*middle_broker.hub_settings, *upstream.settings("thingsboard", top_broker.url)).start().connected()
    bottom = hubs(*upstream.settings("thingsboard", middle_broker.url)).start()
    profile = bottom.create_profile("meters")
    for hub in (middle, top):
        hub.create_profile("meters", key=profile.key, secret=profile.secret)
    given = bottom.provision(profile.request("boiler")).json
    eventually(lambda: top.device("boiler"), 20)
    assert top.credentials("boiler")["credentialsId"] == given["credentialsId"]
    for hub in (bottom, middle):
        settled(hub, confirmed=1)


@pytest.mark.slow
def test_an_upper_hub_that_is_away_is_waited_for(chain):
    """Its broker closes the connection after ten seconds without an answer."""
    chain.upper.stop()
    chain.lower.provision(chain.profile.request("boiler"))
    time.sleep(12)
    assert shown(chain.lower)["pending"] + shown(chain.lower)["sent"] == 1
    chain.upper.start().connected()
    becomes(chain.lower, "boiler", "confirmed", 60)
