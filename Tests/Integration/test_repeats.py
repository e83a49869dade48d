"""Repeats (protocol.md D4) and derived secrets (D5): who gets the same credentials again, and for how long."""

import base64
import hashlib
import hmac
import time

import pytest

import journal
from harness import canary, eventually
from test_decisions import reason

SHORT = 1  # seconds of the short window
OVER = 1.3  # seconds after which it has run out


def derived(profile, name):
    """The secret that proves one device of a profile (protocol.md D5)."""
    digest = hmac.digest(profile.secret.encode(), b"nearhub-device-v1\0" + name.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def settled(hub):
    """The highest device sequence number whose windows have all run out, as the log says."""
    marks = journal.read(hub.state / "devices.jsonl").marks("sync")
    return max((mark.get("settled", 0) for mark in marks), default=0)


# The window


def test_a_repeat_gets_the_same_answer_and_makes_no_second_device(hub, profile):
    answers = {hub.provision(profile.request("boiler")).body for _ in range(5)}
    assert len(answers) == 1
    assert hub.status()["devices"] == 1


def test_nothing_else_of_a_repeat_matters(hub, profile):
    first = hub.provision(profile.request("boiler"))
    again = hub.provision(profile.request(" boiler ", gateway=True, extra={"a": [1]}, credentialsType="MQTT_BASIC"))
    assert again.body == first.body


def test_after_the_window_a_repeat_is_already_provisioned(hub):
    profile = hub.create_profile(repeatWindow=SHORT)
    first = hub.provision(profile.request("boiler"))
    assert hub.provision(profile.request("boiler")).body == first.body
    time.sleep(OVER)
    assert reason(hub.provision(profile.request("boiler"))) == "ALREADY_PROVISIONED"


def test_a_repeat_does_not_lengthen_the_window(hub):
    profile = hub.create_profile(repeatWindow=2)
    began = time.monotonic()
    hub.provision(profile.request("boiler"))
    while time.monotonic() < began + 2.4:
        answer = hub.provision(profile.request("boiler"))
        time.sleep(0.3)
    assert reason(answer if answer.json["status"] == "FAILURE" else hub.provision(profile.request("boiler")))


def test_equal_credentials_prove_the_device_after_the_window(hub):
    profile = hub.create_profile(repeatWindow=SHORT)
    token = canary("token")
    first = hub.provision(profile.request("boiler", token=token))
    time.sleep(OVER)
    assert hub.provision(profile.request("boiler", token=token)).body == first.body
    assert reason(hub.provision(profile.request("boiler", token=canary("token")))) == "ALREADY_PROVISIONED"
    assert reason(hub.provision(profile.request("boiler"))) == "ALREADY_PROVISIONED"


def test_the_hubs_own_token_proves_the_device_after_the_window(hub):
    profile = hub.create_profile(repeatWindow=SHORT)
    first = hub.provision(profile.request("boiler"))
    time.sleep(OVER)
    assert hub.provision(profile.request("boiler", token=first.json["credentialsValue"])).body == first.body


def test_mqtt_credentials_prove_only_as_a_whole(hub, profile):
    basic = {"credentialsType": "MQTT_BASIC", "clientId": "c", "username": "boiler-1", "password": canary("password")}
    hub.guard(basic["password"])
    first = hub.provision(profile.request("boiler", **basic))
    assert first.json["status"] == "SUCCESS"
    assert hub.provision(profile.request("boiler", **basic)).body == first.body
    for wrong in ({"password": "wrong"}, {"password": ""}, {"clientId": "d"}):
        assert hub.provision(profile.request("boiler", **(basic | wrong))).json["status"] == "FAILURE", wrong


def test_credentials_that_the_device_chose_are_not_told_to_one_who_brings_none(hub, profile):
    token = canary("token")
    hub.provision(profile.request("boiler", token=token))
    refusal = hub.provision(profile.request("boiler"))
    assert refusal.json["status"] == "FAILURE"
    assert token.encode() not in refusal.body


def test_wrong_credentials_within_the_window_prove_nothing(hub, profile):
    first = hub.provision(profile.request("boiler"))
    refusal = hub.provision(profile.request("boiler", token=canary("token")))
    assert refusal.json["status"] == "FAILURE"
    assert first.json["credentialsValue"].encode() not in refusal.body


def test_another_profile_cannot_repeat(hub, profile):
    hub.provision(profile.request("boiler"))
    assert reason(hub.provision(hub.create_profile("Q").request("boiler"))) == "NAME_TAKEN"


def test_window_zero_is_thingsboards_rule(hub):
    profile = hub.create_profile(repeatWindow=0)
    token = canary("token")
    assert hub.provision(profile.request("boiler", token=token)).json["status"] == "SUCCESS"
    assert hub.provision(profile.request("boiler", token=token)).json["status"] == "FAILURE"
    assert hub.provision(profile.request("boiler")).json["status"] == "FAILURE"


def test_without_a_name_every_request_makes_a_new_device(hub, profile):
    answers = [hub.provision(profile.request()).json for _ in range(3)]
    assert len({answer["deviceId"] for answer in answers}) == 3
    assert hub.status()["devices"] == 3


def test_a_window_of_forever_outlives_a_restart(hub):
    profile = hub.create_profile(repeatWindow="forever")
    first = hub.provision(profile.request("boiler"))
    hub.restart()
    assert hub.provision(profile.request("boiler")).body == first.body


# Pre-provisioned devices


def test_a_pre_provisioned_device_repeats_within_its_window(hub):
    profile = hub.create_profile("P", "CHECK_PRE_PROVISIONED_DEVICES", repeatWindow=SHORT)
    hub.add_device("boiler", profile)
    first = hub.provision(profile.request("boiler"))
    assert first.json["status"] == "SUCCESS"
    assert hub.attributes("boiler") == {"provisionState": "provisioned"}
    assert hub.provision(profile.request("boiler")).body == first.body
    time.sleep(OVER)
    assert reason(hub.provision(profile.request("boiler"))) == "ALREADY_PROVISIONED"


def test_the_window_of_a_pre_provisioned_device_begins_with_its_first_success(hub):
    profile = hub.create_profile("P", "CHECK_PRE_PROVISIONED_DEVICES", repeatWindow=SHORT)
    hub.add_device("boiler", profile)
    time.sleep(OVER)
    assert hub.provision(profile.request("boiler")).json["status"] == "SUCCESS"


# Across restarts


def test_a_restart_gives_an_unsettled_device_its_window_again(hub, profile):
    first = hub.provision(profile.request("boiler"))
    hub.restart()
    assert hub.provision(profile.request("boiler")).body == first.body


def test_a_repeat_after_kill_9_gets_the_same_credentials(hub, profile):
    first = hub.provision(profile.request("boiler"))
    hub.kill9()
    hub.start()
    assert hub.provision(profile.request("boiler")).body == first.body
    assert hub.status()["devices"] == 1


def test_a_window_that_ran_out_stays_closed_after_a_clean_stop(hub):
    profile = hub.create_profile(repeatWindow=SHORT)
    hub.provision(profile.request("boiler"))
    time.sleep(OVER)
    hub.restart()
    assert settled(hub) == 1
    assert reason(hub.provision(profile.request("boiler"))) == "ALREADY_PROVISIONED"


def test_a_window_that_ran_out_stays_closed_after_kill_9(hub):
    profile = hub.create_profile(repeatWindow=SHORT)
    hub.provision(profile.request("boiler"))
    eventually(lambda: settled(hub) >= 1, seconds=8)
    hub.kill9()
    hub.start()
    assert reason(hub.provision(profile.request("boiler"))) == "ALREADY_PROVISIONED"


# D5: derived secrets


def test_a_derived_secret_proves_its_device_without_a_window(hub):
    profile = hub.create_profile(secretMode="derived", repeatWindow=SHORT)
    request = profile.request("boiler", provisionDeviceSecret=derived(profile, "boiler"))
    first = hub.provision(request)
    assert first.json["status"] == "SUCCESS"
    time.sleep(OVER)
    assert hub.provision(request).body == first.body


@pytest.mark.parametrize("mode, shared_works, derived_works", [
    ("shared", True, False), ("derived", False, True), ("either", True, True),
])  # fmt: skip
def test_the_secret_mode_says_which_secrets_work(hub, mode, shared_works, derived_works):
    profile = hub.create_profile(secretMode=mode)
    by_shared = hub.provision(profile.request("one"))
    by_derived = hub.provision(profile.request("two", provisionDeviceSecret=derived(profile, "two")))
    assert by_shared.json["status"] == ("SUCCESS" if shared_works else "NOT_FOUND")
    assert by_derived.json["status"] == ("SUCCESS" if derived_works else "NOT_FOUND")


def test_a_derived_secret_opens_no_other_device(hub):
    profile = hub.create_profile(secretMode="either")
    hub.provision(profile.request("boiler"))
    stolen = derived(profile, "pump")
    assert hub.provision(profile.request("boiler", provisionDeviceSecret=stolen)).json["status"] == "NOT_FOUND"


def test_a_derived_secret_needs_a_name(hub):
    profile = hub.create_profile(secretMode="derived")
    nameless = profile.request(provisionDeviceSecret=derived(profile, ""))
    assert hub.provision(nameless).json["status"] == "NOT_FOUND"
    assert hub.devices() == []


def test_in_mode_either_only_the_derived_secret_outlives_the_window(hub):
    profile = hub.create_profile(secretMode="either", repeatWindow=SHORT)
    first = hub.provision(profile.request("boiler"))
    time.sleep(OVER)
    assert reason(hub.provision(profile.request("boiler"))) == "ALREADY_PROVISIONED"
    proven = profile.request("boiler", provisionDeviceSecret=derived(profile, "boiler"))
    assert hub.provision(proven).body == first.body


def test_the_secret_is_derived_from_utf_8(hub):
    profile = hub.create_profile(secretMode="derived")
    request = profile.request("Zähler ß", provisionDeviceSecret=derived(profile, "Zähler ß"))
    assert hub.provision(request).json["status"] == "SUCCESS"
