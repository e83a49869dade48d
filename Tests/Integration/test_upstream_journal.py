"""Dialect journal: what any MQTT 5 broker keeps of the hub's devices, and what it never gets to see."""

import hashlib

import upstream
from harness import eventually
from upstream import Observer, connected, retained, rows, settings, settled, shown


def change(hub, name: str, **attributes):
    path = f"/api/plugins/telemetry/DEVICE/{hub.device(name)['id']['id']}/attributes/SERVER_SCOPE"
    hub.ask("POST", path, attributes)


def test_the_record_of_a_device(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True, persistence=True).start()
    hub = hubs(*settings("journal", broker.url)).start()
    profile = hub.create_profile("meters")
    token = hub.provision(profile.request("boiler")).json["credentialsValue"]
    broker.guard(token, profile.key, profile.secret)
    settled(hub, confirmed=1)
    [(device, record)] = retained(broker).items()
    assert device == hub.device("boiler")["id"]["id"]
    assert record == {
        "seq": upstream.written(hub)[device]["seq"], "name": "boiler", "profile": "meters",
        "attributes": {"provisionState": "provisioned"}, "credentialsType": "ACCESS_TOKEN",
        "credentialsIdHash": hashlib.sha3_256(token.encode()).hexdigest(),
    }  # fmt: skip
    broker.save()
    eventually(lambda: broker.holds("boiler"), 10)  # and judged when it is closed: it holds no secret


def test_credentials_travel_only_when_told_to(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(*settings("journal", broker.url, include_credentials="yes", allow_plaintext="yes")).start()
    token = hub.provision(hub.create_profile("meters").request("boiler")).json["credentialsValue"]
    settled(hub, confirmed=1)
    [record] = retained(broker).values()
    assert record["credentials"]["id"] == token and record["credentials"]["type"] == "ACCESS_TOKEN"


def test_everything_is_told_again_when_other_content_is_wanted(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs().start()
    profile = hub.create_profile("meters")
    for name in ("boiler", "pump"):
        hub.provision(profile.request(name))
    for wanted in ("no", "yes", "no"):
        hub.settings = settings("journal", broker.url, include_credentials=wanted, allow_plaintext="yes")
        hub.restart()
        connected(hub)
        settled(hub, confirmed=2)
        assert [("credentials" in one) for one in retained(broker).values()] == [wanted == "yes"] * 2


def test_changes_travel_in_order(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    observer = Observer(broker)
    hub = hubs(*settings("journal", broker.url)).start()
    profile = hub.create_profile()
    connected(hub)
    hub.provision(profile.request("boiler"))
    for number in range(20):
        change(hub, "boiler", serial=number)
    settled(hub, confirmed=1)
    topic = f"devices/{hub.device('boiler')['id']['id']}"
    eventually(lambda: observer.records[topic] and observer.records[topic][-1].json["attributes"].get("serial") == 19)
    observer.close()
    seqs = [one.json["seq"] for one in observer.records[topic]]
    assert seqs == sorted(set(seqs))


def test_an_imported_device_travels_too(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(*settings("journal", broker.url)).start()
    hub.add_device("imported", hub.create_profile())
    settled(hub, confirmed=1)
    assert [one["name"] for one in retained(broker).values()] == ["imported"]


def test_a_prefix_stands_before_names(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(*settings("journal", broker.url, name_prefix="north-")).start()
    hub.provision(hub.create_profile().request("boiler"))
    settled(hub, confirmed=1)
    assert [one["name"] for one in retained(broker).values()] == ["north-boiler"]


def test_whether_the_hub_is_there_and_how_far_it_came(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    observer = Observer(broker)
    hub = hubs(*settings("journal", broker.url)).start()
    hub.provision(hub.create_profile().request("boiler"))
    now = settled(hub, confirmed=1)
    cursor = eventually(lambda: observer.records["cursor"] and observer.records["cursor"][-1].json["seq"], 10)
    assert cursor == now["cursor"] == shown(hub)["cursor"]

    def online():
        return observer.records["status"] and observer.records["status"][-1].json["online"]

    assert observer.hubs == {now["hub"]}
    assert online() is True
    hub.kill9()
    eventually(lambda: online() is False, 10)
    hub.start()
    eventually(lambda: online() is True, 10)
    hub.stop()
    eventually(lambda: online() is False, 10)
    observer.close()


def test_another_upstream_is_told_everything(hubs, brokers):
    first, second = (brokers(plugin=False, anonymous=True).start() for _ in range(2))
    hub = hubs(*settings("journal", first.url)).start()
    profile = hub.create_profile()
    for number in range(25):
        hub.provision(profile.request(f"d{number}"))
    settled(hub, confirmed=25)
    hub.settings = settings("journal", second.url)
    hub.restart()
    settled(hub, confirmed=25)
    assert len(retained(second)) == 25
    assert {one["state"] for one in rows(hub)} == {"confirmed"}


def test_a_dialect_that_was_off_begins_with_what_is_there(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs().start()
    profile = hub.create_profile()
    for number in range(25):
        hub.provision(profile.request(f"d{number}"))
    hub.settings = settings("journal", broker.url)
    hub.restart()
    settled(hub, confirmed=25)
    assert len(retained(broker)) == 25
