"""What protocol.md's Decisions say beyond the cases: answer shape, reasons, gateways, certificates, sizes."""

import hashlib
import subprocess

import pytest

import journal
from harness import canary

MODERN = ["credentialsValue", "credentialsType", "status"]
LEGACY = ["provisionDeviceStatus", "credentialsId", "deviceId"]
LINE_LIMIT = 128 * 1024


def reason(answer):
    """The reason of a refusal, which must be a refusal in every other respect."""
    assert answer.status == 200
    assert answer.members == ["errorMsg", "status", "provisionDeviceStatus", "reason"], answer.body
    assert answer.json["errorMsg"] == "Failed to provision device!"
    assert answer.json["status"] == answer.json["provisionDeviceStatus"] == "FAILURE"
    return answer.json["reason"]


def certificate(directory, subject="/CN=sensor-7"):
    """A real certificate and its private key, as PEM texts."""
    key, pem = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            subject,
            "-keyout",
            key,
            "-out",
            pem,
        ],
        check=True,
        capture_output=True,
    )
    return pem.read_text(), key.read_text()


def body_of(pem):
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))


# D6: the shape of an answer


def test_a_chosen_name_comes_last(hub, profile):
    answer = hub.provision(profile.request("boiler"))
    assert answer.members == [*MODERN, *LEGACY, "deviceName"]
    assert answer.json["deviceName"] == "boiler"


def test_a_name_that_the_hub_made_comes_right_after_the_modern_members(hub, profile):
    answer = hub.provision(profile.request())
    assert answer.members == [*MODERN, "deviceName", *LEGACY]
    assert hub.device(answer.json["deviceName"])["id"]["id"] == answer.json["deviceId"]


def test_the_answer_speaks_of_the_stored_device(hub, profile):
    answer = hub.provision(profile.request("boiler", credentialsType="MQTT_BASIC", clientId="c-1", username="boiler-1"))
    stored = hub.credentials("boiler")
    assert answer.json["deviceId"] == hub.device("boiler")["id"]["id"]
    assert answer.json["credentialsId"] == stored["credentialsId"]
    assert stored["credentialsId"] == hashlib.sha3_256(b"c-1|boiler-1").hexdigest()


def test_without_legacy_fields_answers_are_exactly_thingsboards(hub):
    profile = hub.create_profile(legacyFields=False)
    token = canary("token")
    answer = hub.provision(profile.request("boiler", token=token))
    wanted = '{"credentialsValue":"%s","credentialsType":"ACCESS_TOKEN","status":"SUCCESS"}' % token
    assert answer.body == wanted.encode()
    refusal = hub.provision(profile.request("other", token=token))
    assert refusal.body == b'{"errorMsg":"Failed to provision device!","status":"FAILURE"}'


def test_an_answer_without_a_profile_is_exactly_thingsboards_only_if_all_profiles_want_that(hub):
    nobody = {"provisionDeviceKey": "x", "provisionDeviceSecret": "y"}
    hub.create_profile("P", legacyFields=False)
    assert hub.provision(nobody).members == ["errorMsg", "status"]
    assert hub.provision(nobody | {"deviceName": " "}).members == ["errorMsg", "status"]
    hub.create_profile("Q", legacyFields=True)
    assert hub.provision(nobody).members == ["errorMsg", "status", "provisionDeviceStatus"]
    assert reason(hub.provision(nobody | {"deviceName": " "})) == "NAME_INVALID"


def test_a_refusal_is_exactly_these_bytes(hub, profile):
    hub.add_device("boiler", profile)
    assert hub.provision(profile.request("boiler")).body == (
        b'{"errorMsg":"Failed to provision device!","status":"FAILURE",'
        b'"provisionDeviceStatus":"FAILURE","reason":"NAME_TAKEN"}'
    )


# D3: the reasons


def test_a_name_of_another_profile_is_taken(hub, profile):
    hub.add_device("boiler", hub.create_profile("Q"))
    assert reason(hub.provision(profile.request("boiler"))) == "NAME_TAKEN"


@pytest.mark.parametrize(
    "name", ["n" * 256, "😀" * 128, "   ", "\t\n", "a{{x}}b", "a<script>x", "a</b", "a<!--", "a<?php"]
)
def test_a_bad_name_is_invalid(shared_hub, name):
    profile = getattr(shared_hub, "strict_names", None) or shared_hub.create_profile("names")
    shared_hub.strict_names = profile
    assert reason(shared_hub.provision(profile.request(name))) == "NAME_INVALID"


@pytest.mark.parametrize("name", ["n" * 255, "a < b", "a{b}", "Zähler 1/+#", "𝔫𝔢𝔞𝔯", "ñ" * 255])
def test_an_unusual_name_is_fine(hub, profile, name):
    assert hub.provision(profile.request(name)).json["status"] == "SUCCESS"
    assert hub.device(name)["name"] == name


def test_a_token_of_another_device_is_taken(hub, profile):
    token = canary("token")
    hub.add_device("pump", profile, {"credentialsType": "ACCESS_TOKEN", "credentialsId": token})
    assert reason(hub.provision(profile.request("boiler", token=token))) == "CREDENTIALS_TAKEN"
    assert hub.device("boiler") is None


@pytest.mark.parametrize(
    "members",
    [
        {"username": "u"},
        {"credentialsType": "MQTT_BASIC", "password": "p"},
        {"credentialsType": "MQTT_BASIC", "clientId": "c", "password": "p"},
        {"credentialsType": "X509_CERTIFICATE", "token": "t"},
        {"credentialsType": "X509_CERTIFICATE", "hash": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"},
        {"credentialsType": "LWM2M_CREDENTIALS", "token": "t"},
        {"token": "a\u0001b"},
        {"token": "a\u007fb"},
        {"credentialsType": "MQTT_BASIC", "username": "a\nb"},
        {"credentialsType": "MQTT_BASIC", "username": "a", "password": "b\u001f"},
    ],
)
def test_credentials_that_cannot_be_used_are_invalid(hub, profile, members):
    assert reason(hub.provision(profile.request("boiler", **members))) == "CREDENTIALS_INVALID"
    assert hub.devices() == []


def test_an_unknown_device_of_a_pre_provisioned_profile_is_not_preprovisioned(hub):
    profile = hub.create_profile("P", "CHECK_PRE_PROVISIONED_DEVICES")
    other = hub.create_profile("Q")
    hub.add_device("elsewhere", other)
    for name in ("nobody", "elsewhere", None):
        assert reason(hub.provision(profile.request(name))) == "NOT_PREPROVISIONED"


def test_a_full_profile_refuses_with_quota_and_still_repeats(hub):
    profile = hub.create_profile(maxDevices=2)
    first = hub.provision(profile.request("one"))
    assert hub.provision(profile.request("two")).json["status"] == "SUCCESS"
    assert reason(hub.provision(profile.request("three"))) == "QUOTA"
    assert hub.provision(profile.request("one")).body == first.body
    assert hub.status()["devices"] == 2


def test_unknown_key_wrong_secret_and_disabled_profile_are_one_answer(hub, profile):
    disabled = hub.create_profile("off", "DISABLED")
    pre = hub.create_profile("pre", "CHECK_PRE_PROVISIONED_DEVICES")
    derived = hub.create_profile("derived", secretMode="derived")
    hub.add_device("boiler", pre)
    answers = {
        hub.provision(request).body
        for request in [
            profile.request("boiler", provisionDeviceKey=canary("key")),
            profile.request("boiler", provisionDeviceSecret=canary("secret")),
            profile.request("boiler", provisionDeviceSecret=profile.secret[:-1]),
            profile.request("boiler", provisionDeviceSecret=profile.secret + "x"),
            pre.request("boiler", provisionDeviceSecret=canary("secret")),
            derived.request("boiler"),
            derived.request(),
            disabled.request("boiler"),
        ]
    }
    wanted = {"errorMsg": "Provision data was not found!", "status": "NOT_FOUND", "provisionDeviceStatus": "NOT_FOUND"}
    assert len(answers) == 1
    assert answers.pop() == str(wanted).replace("'", '"').replace(": ", ":").replace(", ", ",").encode()


# D7: gateways


@pytest.mark.parametrize("settings", [{}, {"allowGateway": False}])
def test_a_gateway_becomes_a_plain_device_unless_the_profile_allows_gateways(hub, settings):
    profile = hub.create_profile(**settings)
    assert hub.provision(profile.request("box", gateway=True)).json["status"] == "SUCCESS"
    assert hub.device("box")["additionalInfo"] is None


def test_a_gateway_is_marked_where_the_profile_allows_gateways(hub):
    profile = hub.create_profile(allowGateway=True)
    hub.provision(profile.request("box", gateway=True))
    hub.provision(profile.request("plain", gateway="yes"))
    assert hub.device("box")["additionalInfo"] == {"gateway": True}
    assert hub.device("plain")["additionalInfo"] is None


# D8: certificates


def test_a_real_certificate_is_recorded_with_its_subject(hub, profile):
    pem, _ = certificate(hub.directory)
    answer = hub.provision(profile.request("sensor-7", credentialsType="X509_CERTIFICATE", hash=pem))
    assert answer.json["credentialsValue"] == body_of(pem)
    assert answer.json["credentialsId"] == hashlib.sha3_256(body_of(pem).encode()).hexdigest()
    record = journal.read(hub.state / "devices.jsonl").devices["sensor-7"]
    assert "sensor-7" in record["x509"]["subject"]
    assert record["x509"]["notAfter"]


def test_text_around_a_certificate_and_blanks_in_it_are_stripped(hub, profile):
    pem, _ = certificate(hub.directory)
    shapes = {
        "crlf": pem.replace("\n", "\r\n"),
        "literal": pem.replace("\n", "\\n"),
        "indented": pem.replace("\n", "\n\t  "),
        "text": "Certificate:\n    Data: Version 3\n" + pem + "and so on\n",
        "chain": pem + pem.replace("M", "N"),
    }
    for name, text in shapes.items():
        request = profile.request("sensor-7", credentialsType="X509_CERTIFICATE", hash=text)
        answer = hub.provision(request)  # the first one creates, the others prove themselves by the same certificate
        assert (name, answer.json["status"]) == (name, "SUCCESS")
        assert answer.json["credentialsValue"] == body_of(pem), name
    assert hub.status()["devices"] == 1


def test_a_private_key_is_refused_and_never_stored(hub, profile):
    pem, key = certificate(hub.directory)
    secret_part = body_of(key)
    hub.guard(secret_part[:40])
    for text in (key, key + pem, pem + key, key.replace("\n", "\\n")):
        answer = hub.provision(profile.request("sensor-7", credentialsType="X509_CERTIFICATE", hash=text))
        assert reason(answer) == "CREDENTIALS_INVALID"
    assert hub.devices() == []
    for file in hub.state.iterdir():
        assert secret_part[:40] not in file.read_text(), file


def test_text_that_is_no_certificate_is_kept_without_a_subject(hub, profile):
    answer = hub.provision(profile.request("sensor", credentialsType="X509_CERTIFICATE", hash="MIIBAAAA"))
    assert answer.json["credentialsValue"] == "MIIBAAAA"
    assert not journal.read(hub.state / "devices.jsonl").devices["sensor"].get("x509")


# D11: no accepted request may stop the next start


@pytest.mark.parametrize(
    "members",
    [
        {"token": "\u2028" * 21000},
        {"token": "\\" * 30000},
        {"token": "t" * 65000},
        {"credentialsType": "MQTT_BASIC", "username": '"' * 30000},
        {"credentialsType": "MQTT_BASIC", "username": "\\" * 30000},
        {"credentialsType": "MQTT_BASIC", "username": "u" * 60000},
        {"credentialsType": "MQTT_BASIC", "username": "\u2028" * 21000},
        {"credentialsType": "X509_CERTIFICATE", "hash": "\u2028" * 21000},
    ],
    ids=lambda members: "-".join(f"{k}-{v[:1].encode().hex()}" if len(v) > 99 else v for k, v in members.items()),
)
def test_a_line_over_128_kib_is_refused_and_the_hub_starts_again(hub, profile, members):
    answer = hub.provision(profile.request("big", **members))
    if answer.json["status"] != "SUCCESS":
        assert reason(answer) == "CREDENTIALS_INVALID"
    assert all(len(line.raw) <= LINE_LIMIT for line in journal.read(hub.state / "devices.jsonl").lines)
    hub.restart()
    assert hub.status()["devices"] == (answer.json["status"] == "SUCCESS")
    assert hub.provision(profile.request("small")).json["status"] == "SUCCESS"


def test_the_largest_line_that_escaping_can_make_is_refused(hub, profile):
    """Stored once as the id and once, quoted twice, in the value: far over the limit however it is written."""
    request = profile.request("big", credentialsType="MQTT_BASIC", username="\\" * 16000 + "\u2028" * 10900)
    assert reason(hub.provision(request)) == "CREDENTIALS_INVALID"
    assert hub.devices() == []
