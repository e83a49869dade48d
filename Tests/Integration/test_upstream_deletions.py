"""Devices that are gone or renamed, and where the cursor stands. The log says so: nothing else can yet."""

import json

import pytest
import xxhash

import journal
from harness import eventually
from upstream import Observer, retained, rows, settings, settled, shown, written


@pytest.fixture
def observer(open_broker):
    made = Observer(open_broker)
    yield made
    made.close()


def write(hub, log: str, operation: str, **content):
    """Writes a line into a log of a stopped hub."""
    path = hub.state / f"{log}.jsonl"
    last = journal.read(path).records[-1].json["seq"]
    content = json.dumps(content, separators=(",", ":"), ensure_ascii=False)[1:-1]
    body = f'{{"seq":{last + 1},"durable":{last},"at":"2026-11-25T12:00:00.000Z","op":"{operation}",{content}'
    line = f'{body},"xxh3":"{xxhash.xxh3_64_hexdigest(body.encode())}"}}\n'
    with path.open("ab") as file:
        file.write(line.encode())


def end(hub, device: str):
    """Writes into the log of a stopped hub that a device is gone."""
    write(hub, "devices", "delete", device={"id": device})


def change(hub, device: str, **members):
    """Writes into the logs of a stopped hub that a device has changed, as a hub with an upstream does."""
    [line] = [one for one in written(hub).values() if one["device"]["name"] == device]
    record = line["device"]
    record["provisioned"].setdefault("seq", line["seq"])
    write(hub, "devices", "put", device=record | members)
    if "name" in members:
        write(hub, "upstream", "put", sync={"device": record["id"], "of": 0, "state": "confirmed", "formerName": device, "since": 1})


def test_what_thingsboard_cannot_be_told_is_refused_and_said(site):
    """Its credentials work there, so a renamed device looked confirmed."""
    names = {"kept", "renamed", "rekeyed", "gone"}
    for name in names:
        site.provision(name)
    settled(site.hub, confirmed=4)
    gone = site.hub.device("gone")["id"]["id"]
    site.hub.stop()
    change(site.hub, "renamed", name="new name")
    change(site.hub, "rekeyed", credentials={"type": "ACCESS_TOKEN", "id": "anotherToken1234"})
    change(site.hub, "kept", label="a boiler")
    site.hub.guard("anotherToken1234")
    end(site.hub, gone)
    asked = len(site.server.requests)
    site.hub.start()
    now = settled(site.hub, confirmed=1)
    assert now["refused"] == 3
    refused = {one["name"]: (one["id"], one["reason"]) for one in rows(site.hub, "refused")}
    assert refused.keys() == {"new name", "rekeyed", None}
    assert {reason for _, reason in refused.values()} == {"UNSUPPORTED_BY_DIALECT"}
    assert refused[None][0] == gone and gone in site.cli("list", "--state", "refused").out
    assert {one.name for one in site.devices.values()} == names
    assert len(site.server.requests) - asked <= 1, "only the one whose new credentials do not work may be asked for"
    # Told again it stays refused; somebody who has changed it over there too says so.
    assert site.cli("retry").code == 0
    settled(site.hub, confirmed=1)
    for one in ("new name", "rekeyed", gone):
        done = site.cli("resolve", one, "--keep-local")
        assert done.code == 0, done
    assert site.cli("resolve", gone, "--keep-local").code == 1
    now = settled(site.hub, confirmed=3)
    assert now["refused"] == 0


def test_the_end_of_a_device_that_a_broker_forgets(hubs, brokers):
    """The line of its end is gone from the log: without a look at what the broker keeps it would stay there for ever."""
    broker = brokers(plugin=False, anonymous=True)
    broker.lines += ["persistence true", f"persistence_location {broker.directory}/", "autosave_interval 0"]
    broker.start()
    hub = hubs(*settings("journal", broker.url)).start()
    profile = hub.create_profile()
    for name in ("boiler", "pump"):
        hub.provision(profile.request(name))
    settled(hub, confirmed=2)
    gone = hub.device("boiler")["id"]["id"]
    eventually(lambda: retained(broker, 1).keys() >= {gone}, 10)
    hub.stop()
    broker.save()
    eventually(lambda: broker.holds('"boiler"'), 20)
    end(hub, gone)
    hub.start()
    settled(hub, confirmed=1)
    eventually(lambda: gone not in retained(broker, 1), 20)
    eventually(lambda: shown(hub)["cursor"] == 3, 20)
    hub.stop()
    broker.kill9()
    assert hub.cli("log", "compact", "--state", hub.state).code == 0
    assert gone not in (hub.state / "devices.jsonl").read_text()
    broker.start()
    assert gone in retained(broker, 1)
    hub.start()
    eventually(lambda: gone not in retained(broker, 1), 30)
    assert [one["name"] for one in retained(broker, 1).values()] == ["pump"]
    settled(hub, confirmed=1)


def test_a_device_that_is_gone_is_said_so_and_its_topic_emptied(hubs, open_broker, observer):
    hub = hubs(*settings("journal", open_broker.url)).start()
    profile = hub.create_profile()
    for name in ("boiler", "pump"):
        hub.provision(profile.request(name))
    settled(hub, confirmed=2)
    gone = hub.device("boiler")["id"]["id"]
    hub.stop()
    end(hub, gone)
    hub.start()
    settled(hub, confirmed=1)
    topic = f"devices/{gone}"
    eventually(lambda: observer.records[topic] and not observer.records[topic][-1].payload)
    assert [record.json for record in observer.records[topic]][-2:] == [{"seq": 3, "deleted": True}, None]
    assert [record["name"] for record in retained(open_broker).values()] == ["pump"]
    # A compaction may take the line of the deletion now.
    hub.stop()
    assert hub.cli("log", "compact", "--state", hub.state).code == 0
    assert set(written(hub)) == {hub.start().device("pump")["id"]["id"]}
    assert settled(hub, confirmed=1)["cursor"] == 3


def test_a_deletion_is_kept_until_it_is_told(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(*settings("journal", broker.url)).start()
    profile = hub.create_profile()
    hub.provision(profile.request("boiler"))
    settled(hub, confirmed=1)
    gone = hub.device("boiler")["id"]["id"]
    hub.stop()
    end(hub, gone)
    assert hub.cli("log", "compact", "--state", hub.state).code == 0
    hub.start()
    eventually(lambda: not retained(broker, 1), 20)


def test_where_the_cursor_stands_is_known_at_both_ends(hubs, open_broker, observer):
    hub = hubs(*settings("journal", open_broker.url)).start()
    profile = hub.create_profile()
    for number in range(25):
        hub.provision(profile.request(f"d{number}"))
    settled(hub, confirmed=25)
    eventually(lambda: observer.records["cursor"][-1].json == {"seq": 25})
    eventually(lambda: hub.status()["upstream"]["cursor"] == 25)
    hub.stop()
    cursors = [line.json["cursor"] for line in journal.read(hub.state / "upstream.jsonl").records if "cursor" in line.json]
    assert (cursors[-1]["of"], cursors[-1]["devices"]) == (25, 25)
    assert cursors[-1]["to"].split()[:2] == ["journal", open_broker.url]
    assert json.loads((hub.state / "devices.jsonl").open().readline())["id"] == cursors[-1]["log"]
    before = observer.arrivals
    hub.start()
    settled(hub, confirmed=25)
    assert observer.arrivals == before, "nothing is told twice"
