"""What the hub had told anybody by the time the power went."""

from __future__ import annotations

import bisect
import dataclasses
import json
import re

from disk import Disk
from recovery import Recovered, whole_log

SUCCESS = re.compile(rb'\{[^{}]*"status":"SUCCESS"[^{}]*\}')


@dataclasses.dataclass(frozen=True)
class Promise:
    """One answer: `device` with its credentials, `profile` that was made, `profile deleted`, a `command` that has ended.

    Some are none, but say what may be: `profile ending` was asked to be deleted, and may be on the disk; `upstream took`
    and `upstream refused` are what the hub may know of a device by its name.
    """

    kind: str
    id: str
    name: str = ""
    credentials: str = ""


class Promises:
    """All that was promised in a trace, by event.

    Devices count from before their answer leaves the daemon, as the trace has it. What an administrator was told
    counts from when `told` (monotonic nanoseconds, promise) says that the answer arrived.
    """

    def __init__(self, disk: Disk, told: list[tuple[int, Promise]]):
        found = []
        for index, event in disk.answers:
            for answer in map(json.loads, SUCCESS.findall(event.data)):
                if "deviceId" in answer:
                    credentials = answer.get("credentialsId") or answer["credentialsValue"]
                    found.append((index + 1, Promise("device", answer["deviceId"], answer["deviceName"], credentials)))
        times = [event.nanoseconds for event in disk.events]
        found += [(bisect.bisect_left(times, when), promise) for when, promise in told]
        found.sort(key=lambda one: one[0])
        self._from = [index for index, _ in found]
        self._promises = [promise for _, promise in found]

    @property
    def devices(self) -> set[Promise]:
        return {promise for promise in self._promises if promise.kind == "device"}

    def at(self, cut: int) -> list[Promise]:
        """What had been promised when the power went behind that many events."""
        return self._promises[: bisect.bisect_right(self._from, cut)]


def judge(promises: list[Promise], found: Recovered):
    """Fails unless a recovery kept every promise, and serves what its logs say."""
    assert found.is_ready, f"did not start, status {found.code}: {found.stderr[-600:]}"
    profiles, devices = (whole_log(data) for data in found.logs)
    stored = devices.devices  # fails when two devices have one name
    by_id = {device["id"]: device for device in stored.values()}
    held = [device["credentials"]["id"] for device in stored.values()]
    assert len(set(held)) == len(held), "two devices have one credentials id"
    served = {(device["id"], device["name"]) for device in found.devices}
    assert served == {(device["id"], name) for name, device in stored.items()}, "served is not what is stored"
    known: dict[str, dict] = {}
    for line in profiles.records:
        profile = line.json["profile"]
        if line.json["op"] == "put":
            known[profile["id"]["id"]] = profile
        else:
            known.pop(profile["id"]["id"], None)
    assert {profile["id"]["id"] for profile in found.profiles} == set(known), "other profiles served than stored"
    for device in stored.values():
        assert device["profile"] in known, f"device {device['name']} is there, its profile is not"
    ending = {promise.id for promise in promises if promise.kind == "profile ending"}
    for promise in promises:
        if promise.kind == "device":
            device = by_id.get(promise.id)
            assert device is not None, f"LOST: {promise.name} was answered"
            assert device["name"] == promise.name, f"{promise.name} is called {device['name']} now"
            assert device["credentials"]["id"] == promise.credentials, f"{promise.name} has other credentials now"
        elif promise.kind == "profile":
            assert promise.id in known or promise.id in ending, f"LOST: profile {promise.name} was answered"
        elif promise.kind == "profile deleted":
            assert promise.id not in known, f"profile {promise.name} was deleted, and is back"
    for device, credentials in found.credentials.items():
        assert credentials["credentialsId"] == by_id[device]["credentials"]["id"], "other credentials than stored"


def judge_upstream(promises: list[Promise], found: Recovered):
    """The same, and that no device is taken for told that was not: it would never arrive there."""
    judge(promises, found)
    upstream, devices = whole_log(found.tree.get("/upstream.jsonl")), whole_log(found.tree["/devices.jsonl"])
    states, cursor = {}, {"of": 0}
    for line in upstream.records:
        cursor = line.json.get("cursor", cursor)
        if state := line.json.get("sync"):
            states[state["device"]] = state if line.json["op"] == "put" else None
    assert found.cursor == cursor["of"], f"goes on behind {found.cursor}, and {cursor} is on the disk"
    took, refused = (
        {promise.name for promise in promises if promise.kind == kind} for kind in ("upstream took", "upstream refused")
    )
    for record in (record for record in devices.newest.values() if record["seq"] <= cursor["of"]):
        name, state = record["device"]["name"], states.get(record["device"]["id"])
        assert name in took or state and name in refused, f"NEVER TOLD: {name} at {record['seq']}, {cursor}, {state}"
