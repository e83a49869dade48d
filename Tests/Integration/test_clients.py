"""The programs that people really point at the hub."""

import json
import subprocess

import pytest
import requests

from environments import THINGSBOARD, python
from harness import PROVISION, canary


def curl(hub, *arguments, stdin=None):
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--max-time",
        "10",
        *arguments,
        hub.url + PROVISION,
    ]
    done = subprocess.run(command, input=stdin, capture_output=True, check=True)
    hub.guard_answer(done.stdout)
    return json.loads(done.stdout)


# curl


def test_curl_with_its_form_type(hub, profile):
    answer = curl(hub, "--data", "@-", stdin=json.dumps(profile.request("boiler")).encode())
    assert answer["status"] == "SUCCESS"
    assert answer["deviceName"] == "boiler"


def test_curl_with_json_and_http_1_0(hub, profile):
    body = json.dumps(profile.request("boiler")).encode()
    first = curl(hub, "--http1.0", "--json", "@-", stdin=body)
    assert curl(hub, "--json", "@-", stdin=body) == first


def test_curl_with_chunks(hub, profile):
    body = json.dumps(profile.request("boiler")).encode()
    assert curl(hub, "--header", "Transfer-Encoding: chunked", "--json", "@-", stdin=body)["status"] == "SUCCESS"


def test_curl_asks_to_continue_before_a_large_body(hub, profile):
    body = json.dumps(profile.request("boiler", padding="x" * 60000)).encode()
    answer = curl(hub, "--header", "Expect: 100-continue", "--json", "@-", stdin=body)
    assert answer["status"] == "SUCCESS"


def test_curl_sees_the_reason_of_a_too_large_body(hub):
    done = subprocess.run(
        ["curl", "--silent", "--max-time", "10", "--write-out", "\n%{http_code}", "--data-binary", "@-",
         hub.url + PROVISION],
        input=b"x" * 200_000, capture_output=True, check=True,
    )  # fmt: skip
    body, code = done.stdout.rsplit(b"\n", 1)
    assert (code, json.loads(body)["errorCode"]) == (b"413", 31)


# Python requests, as the user manual has it: post(url, json={key, secret, name}), then print the answer


def test_the_user_manuals_http_script(hub, profile):
    to_publish = {
        "provisionDeviceKey": profile.key,
        "provisionDeviceSecret": profile.secret,
        "deviceName": "DEVICE_NAME",
    }
    answer = requests.post(hub.url + PROVISION, json=to_publish, timeout=10).json()
    hub.guard(answer["credentialsValue"])
    assert answer["status"] == answer["provisionDeviceStatus"] == "SUCCESS"  # new scripts, and those of the old manual
    assert answer["credentialsId"] == answer["credentialsValue"]
    assert answer["deviceId"] == hub.device("DEVICE_NAME")["id"]["id"]


def test_the_user_manuals_request_for_each_type_of_credentials(hub, profile):
    session = requests.Session()
    for name, members in {
        "with-token": {"credentialsType": "ACCESS_TOKEN", "token": canary("token")},
        "with-basic": {
            "credentialsType": "MQTT_BASIC",
            "username": "user-1",
            "password": "pw-1",
            "clientId": "client-1",
        },
        "with-certificate": {"credentialsType": "X509_CERTIFICATE", "hash": "MIIBAAAA"},
    }.items():
        hub.guard(members.get("token"))
        answer = session.post(hub.url + PROVISION, json=profile.request(name, **members), timeout=10)
        answer.raise_for_status()
        assert answer.json()["credentialsType"] == members["credentialsType"]
    session.close()


def test_requests_gets_failures_as_200(hub, profile):
    hub.add_device("boiler", profile)
    answer = requests.post(hub.url + PROVISION, json=profile.request("boiler"), timeout=10)
    answer.raise_for_status()
    assert answer.json()["errorMsg"] == "Failed to provision device!"


# ThingsBoard's own Python SDK


def test_thingsboards_sdk_provisions_a_device(hub, profile):
    wanted = {"name": "boiler", "key": profile.key, "secret": profile.secret}
    done = python(THINGSBOARD, "sdk_http.py", hub.url, stdin=wanted)
    token = hub.credentials("boiler")["credentialsId"]
    hub.guard(token)
    assert done.returncode == 0 and token in done.stdout, done.stderr


def test_thingsboards_sdk_sees_a_failure(hub, profile):
    wanted = {"name": "boiler", "key": profile.key, "secret": canary("wrong")}
    done = python(THINGSBOARD, "sdk_http.py", hub.url, stdin=wanted)
    assert done.returncode == 1 and json.loads(done.stderr)["status"] == "NOT_FOUND", done.stderr


# nearhub provision


@pytest.fixture
def device_side(hub, profile):
    """Runs `nearhub provision` with the profile's key and secret in files."""
    key, secret = hub.file("key", profile.key + "\n"), hub.file("secret", profile.secret)

    def run(*arguments, url=None, **options):
        done = hub.cli(
            "provision", "--http", url or hub.url, "--key-file", key, "--secret-file", secret, *arguments, **options
        )
        hub.guard_answer(done.out.encode())
        return done

    return run


def test_nearhub_provision_prints_the_hubs_json_verbatim(hub, profile, device_side):
    done = device_side("--name", "boiler", "--json")
    assert done.code == 0, done
    assert done.out.strip().encode() == hub.provision(profile.request("boiler")).body


def test_nearhub_provision_takes_the_whole_url_too(hub, device_side):
    assert device_side("--name", "boiler", url=hub.url + PROVISION).code == 0
    assert hub.device("boiler")


def test_nearhub_provision_shows_people_what_they_need(hub, device_side):
    done = device_side("--name", "boiler")
    assert (done.code, done.err) == (0, "")
    assert hub.credentials("boiler")["credentialsId"] in done.out


def test_nearhub_provision_without_a_name(hub, device_side):
    assert device_side().code == 0
    assert len(hub.devices()[0]["name"]) == 20


@pytest.mark.parametrize("credentials", [
    {"token": "tokenOfMyOwn"},
    {"username": "user-1", "password": "pw-1", "clientId": "client-1"},
    {"username": "user-1"},
    {"hash": "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n"},
])  # fmt: skip
def test_nearhub_provision_brings_credentials_from_a_file(hub, device_side, credentials):
    file = hub.file("credentials.json", json.dumps(credentials))
    done = device_side("--name", "boiler", "--credentials-file", file, "--json")
    assert done.code == 0, done
    value = done.json["credentialsValue"]
    if "hash" in credentials:
        assert (done.json["credentialsType"], value) == ("X509_CERTIFICATE", "MIIBAAAA")
    elif "token" in credentials:
        assert (done.json["credentialsType"], value) == ("ACCESS_TOKEN", "tokenOfMyOwn")
    else:
        wanted = {"clientId": "", "userName": "user-1", "password": ""} | {
            "userName" if name == "username" else name: text for name, text in credentials.items()
        }
        assert (done.json["credentialsType"], value) == ("MQTT_BASIC", wanted)


def test_nearhub_provision_of_a_gateway(hub):
    profile = hub.create_profile("gateways", allowGateway=True)
    key, secret = hub.file("key", profile.key), hub.file("secret", profile.secret)
    done = hub.cli(
        "provision", "--http", hub.url, "--name", "box", "--key-file", key, "--secret-file", secret, "--gateway"
    )
    hub.guard(hub.credentials("box")["credentialsId"])
    assert done.code == 0, done
    assert hub.device("box")["additionalInfo"] == {"gateway": True}


def test_nearhub_provision_fails_with_1_when_refused(hub, profile, device_side):
    hub.add_device("boiler", profile)
    taken = device_side("--name", "boiler", "--json")
    assert (taken.code, taken.json["reason"]) == (1, "NAME_TAKEN")
    secret = hub.file("wrong", canary("wrong"))
    unknown = device_side("--secret-file", secret, "--name", "x")
    assert unknown.code == 1


def test_nearhub_provision_fails_with_75_when_nobody_listens(hub, device_side):
    done = device_side("--name", "boiler", url="http://127.0.0.1:1")
    assert done.code == 75
    assert done.err.startswith("nearhub: ") and done.err.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1", "127.0.0.1:8080", "http://", "http://127.0.0.1:99999", "coap://x"]
)
def test_nearhub_provision_refuses_a_url_it_cannot_use(hub, device_side, url):
    assert device_side("--name", "boiler", url=url).code == 64
