"""Dialect journal: devices that are gone, and where the cursor stands."""

import json

import pytest
import xxhash

import journal
from harness import eventually
from upstream import Observer, retained, settings, settled, written


@pytest.fixture
def observer(open_broker):
    made = Observer(open_broker)
    yield made
    made.close()


def end(hub, device: str):
    """Writes into the log of a stopped hub that a device is gone."""
    path = hub.state / "devices.jsonl"
    last = journal.read(path).records[-1].json["seq"]
    body = f'{{"seq":{last + 1},"durable":{last},"at":"2026-11-25T12:00:00.000Z","op":"delete","device":{{"id":"{device}"}}'
    line = f'{body},"xxh3":"{xxhash.xxh3_64_hexdigest(body.encode())}"}}\n'
    with path.open("ab") as file:
        file.write(line.encode())


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
