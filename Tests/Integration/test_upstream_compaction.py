"""Upstream while devices.jsonl is written anew: the cursor goes by numbers, and what upstream was not told stays."""

from harness import eventually
from test_upstream_deletions import end
from upstream import provision_many, retained, settings, settled, shown, written


def change(hub, device: str, floor: int):
    path = f"/api/plugins/telemetry/DEVICE/{device}/attributes/SERVER_SCOPE"
    assert hub.admin("POST", path, {"floor": floor, "padding": "x" * 2000}).status == 200


def test_a_log_that_moves_while_it_is_told(hubs, open_broker, proxies):
    link = proxies(open_broker.port)
    hub = hubs(*settings("journal", link.url, window=5)).start()
    profile = hub.create_profile()
    provision_many(hub, profile, 400)
    settled(hub, confirmed=400)
    link.refuse()
    ids = list(written(hub))
    for floor in range(3):
        for device in ids[::2]:
            change(hub, device, floor)
    link.delay = 0.02
    link.start()
    for _ in range(3):
        assert hub.cli("log", "compact").code == 0
        for device in ids[1::40]:
            change(hub, device, 9)
    settled(hub, confirmed=400, seconds=60)
    there = retained(open_broker)
    here = {line: record for line, record in written(hub).items()}
    assert set(there) == set(here)
    for device, record in here.items():
        assert there[device]["attributes"] == record["device"]["attributes"], device
        assert there[device]["seq"] == record["seq"]


def test_a_deletion_outlives_a_compaction_until_it_is_told(hubs, brokers):
    broker = brokers(plugin=False, anonymous=True).start()
    hub = hubs(*settings("journal", broker.url)).start()
    profile = hub.create_profile()
    for name in ("boiler", "pump"):
        hub.provision(profile.request(name))
    settled(hub, confirmed=2)
    gone = hub.device("boiler")["id"]["id"]
    hub.stop()
    broker.stop()
    end(hub, gone)
    hub.start()
    assert hub.cli("log", "compact").code == 0
    lines = (hub.state / "devices.jsonl").read_text()
    assert lines.count('"boiler"') == 0 and lines.count('"op":"delete"') == 1
    broker.start()
    eventually(lambda: shown(hub)["cursor"] == 3, 30)
    assert [record["name"] for record in retained(broker).values()] == ["pump"]

    def is_gone():
        """The cursor is written down once a second; only then may the deletion go."""
        assert hub.cli("log", "compact").code == 0
        return (hub.state / "devices.jsonl").read_text().count('"op":"delete"') == 0

    eventually(is_gone, 20, every=0.3)
