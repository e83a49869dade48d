"""Many devices at the same instant."""

import concurrent.futures
import http.client
import threading

import pytest

import journal
from harness import PROVISION, exchange

CROWD = 50


def crowd(hub, requests):
    """Sends every request on a connection of its own, all at the same instant."""
    barrier = threading.Barrier(len(requests))

    def one(request):
        connection = http.client.HTTPConnection(*hub.address, timeout=30)
        connection.connect()
        barrier.wait()
        try:
            return exchange(connection, "POST", PROVISION, request)
        finally:
            connection.close()

    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(one, requests))
    for answer in answers:
        hub.guard_answer(answer.body)
    return answers


@pytest.mark.parametrize("members", [{}, {"token": "the-same-token"}], ids=["hub-made", "brought"])
def test_fifty_equal_requests_make_one_device_and_get_one_answer(hub, profile, members):
    answers = crowd(hub, [profile.request("boiler", **members)] * CROWD)
    assert {answer.json["status"] for answer in answers} == {"SUCCESS"}
    assert len({answer.body for answer in answers}) == 1
    assert [device["name"] for device in hub.devices()] == ["boiler"]


def test_fifty_names_make_fifty_devices(hub, profile):
    answers = crowd(hub, [profile.request(f"d{number}") for number in range(CROWD)])
    assert {answer.json["status"] for answer in answers} == {"SUCCESS"}
    assert len({answer.json["credentialsValue"] for answer in answers}) == CROWD
    assert {device["name"] for device in hub.devices()} == {f"d{number}" for number in range(CROWD)}
    log = journal.read(hub.state / "devices.jsonl")
    log.verify()
    for number, answer in enumerate(answers):
        assert log.devices[f"d{number}"]["credentials"]["id"] == answer.json["credentialsValue"]


def test_fifty_devices_that_want_one_token_leave_it_to_one(hub, profile):
    answers = crowd(hub, [profile.request(f"d{number}", token="everybodys-token") for number in range(CROWD)])
    statuses = sorted(answer.json["status"] for answer in answers)
    assert statuses == ["FAILURE"] * (CROWD - 1) + ["SUCCESS"]
    assert {answer.json["reason"] for answer in answers if answer.json["status"] == "FAILURE"} == {"CREDENTIALS_TAKEN"}
    assert hub.status()["devices"] == 1


def test_fifty_at_a_quota_of_ten_make_ten(hub):
    profile = hub.create_profile(maxDevices=10)
    answers = crowd(hub, [profile.request(f"d{number}") for number in range(CROWD)])
    assert sum(answer.json["status"] == "SUCCESS" for answer in answers) == 10
    assert hub.status()["devices"] == 10


def test_fifty_nameless_requests_make_fifty_devices(hub, profile):
    answers = crowd(hub, [profile.request()] * CROWD)
    assert len({answer.json["deviceId"] for answer in answers}) == CROWD
    assert hub.status()["devices"] == CROWD


def test_a_group_of_requests_shares_its_syncs(hub, profile):
    """Group commit: lines of one batch carry the same `durable`, which no batch of one could."""
    for _ in range(5):
        crowd(hub, [profile.request() for _ in range(CROWD)])
    durable = [line.json["durable"] for line in journal.read(hub.state / "devices.jsonl").records]
    assert len(set(durable)) < len(durable)
