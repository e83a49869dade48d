"""Real clients of the CoAP face, unmodified: aiocoap, CoAPthon3 as ThingsBoard's manual uses it, libcoap's own."""

import json

import pytest

from devices import over_coap, provision_over_coap
from environments import OLD, answer, python, run
from harness import canary
from test_coap_blocks import certificate


@pytest.fixture
def libcoap(hub):
    """Runs coap-client-notls; the request comes by stdin."""
    url = hub.coap_url + "/api/v1/provision"

    def post(request, *options):
        done = run("coap-client-notls", "-m", "post", "-B", 15, *options, "-f", "-", url, stdin=request)
        return answer(hub, done)

    return post


# aiocoap


def test_aiocoap(hub, profile):
    reply = over_coap(hub, json.dumps(profile.request("boiler")).encode())
    assert (reply.code.dotted, reply.opt.content_format) == ("2.01", 0)
    assert json.loads(reply.payload)["credentialsValue"] == hub.credentials("boiler")["credentialsId"]


def test_aiocoap_non_confirmable(hub, profile):
    reply = over_coap(hub, json.dumps(profile.request("boiler")).encode(), confirmable=False)
    assert reply.code.dotted == "2.01" and hub.device("boiler")


def test_aiocoap_sees_the_reason_of_a_refusal(hub, profile):
    hub.add_device("boiler", profile)
    reply = over_coap(hub, json.dumps(profile.request("boiler")).encode())
    assert reply.code.dotted == "4.00"
    assert json.loads(reply.payload)["reason"] == "NAME_TAKEN"


@pytest.mark.parametrize("size", [1500, 8000])
def test_aiocoap_brings_a_certificate_block_by_block(hub, profile, size):
    request = profile.request("boiler", credentialsType="X509_CERTIFICATE", hash=certificate(size))
    assert provision_over_coap(hub, request)["credentialsValue"] == certificate(size)


# CoAPthon3 1.0.2


def test_the_user_manuals_coap_script(hub, profile):
    done = python(OLD, "manual_coap.py", hub.coap_address[1], stdin=profile.request("DEVICE_NAME"))
    given = answer(hub, done)
    assert given["status"] == given["provisionDeviceStatus"] == "SUCCESS"
    assert given["credentialsValue"] == hub.credentials("DEVICE_NAME")["credentialsId"]


def test_coapthon3_brings_a_certificate_block_by_block_without_size1(hub, profile):
    request = profile.request("boiler", credentialsType="X509_CERTIFICATE", hash=certificate(700), serial="x" * 300)
    given = answer(hub, python(OLD, "manual_coap.py", hub.coap_address[1], stdin=request))
    assert (given["credentialsType"], given["credentialsValue"]) == ("X509_CERTIFICATE", certificate(700))


@pytest.mark.parametrize("size", [1500, 5000])
def test_coapthon3_brings_a_long_certificate_and_reads_the_first_block_of_the_answer(hub, profile, size):
    # When the answer to the last block is in blocks itself, it takes the first one for the whole.
    request = profile.request("boiler", credentialsType="X509_CERTIFICATE", hash=certificate(size))
    done = python(OLD, "manual_coap.py", hub.coap_address[1], stdin=request)
    assert done.returncode == 0 and done.stdout.startswith('{"credentialsValue":"' + certificate(size)[:900])
    assert hub.credentials("boiler")["credentialsValue"] == certificate(size)


def test_coapthon3_sees_a_refusal(hub, profile):
    request = profile.request("boiler") | {"provisionDeviceSecret": canary("wrong")}
    hub.guard(request["provisionDeviceSecret"])
    given = answer(hub, python(OLD, "manual_coap.py", hub.coap_address[1], stdin=request))
    assert given["status"] == "NOT_FOUND"


# libcoap's coap-client


def test_libcoaps_client(hub, profile, libcoap):
    assert libcoap(profile.request("boiler"))["credentialsValue"] == hub.credentials("boiler")["credentialsId"]


def test_libcoaps_client_non_confirmable(hub, profile, libcoap):
    assert libcoap(profile.request("boiler"), "-N")["status"] == "SUCCESS"


@pytest.mark.parametrize("options", [[], ["-b", 64], ["-b", 1024], ["-L", 3]], ids=["default", "64", "1024", "single"])
def test_libcoaps_client_brings_a_certificate_block_by_block(hub, profile, libcoap, options):
    request = profile.request("boiler", credentialsType="X509_CERTIFICATE", hash=certificate(2500))
    given = libcoap(request, *options)
    assert given["status"] == "SUCCESS"
    assert hub.credentials("boiler")["credentialsValue"] == certificate(2500)


# nearhub provision --coap


@pytest.fixture
def device_side(hub, profile):
    """Runs `nearhub provision` with the profile's key and secret in files."""
    key, secret = hub.file("key", profile.key + "\n"), hub.file("secret", profile.secret)

    def provision(*arguments, url=None):
        done = hub.cli(
            "provision", "--coap", url or hub.coap_url, "--key-file", key, "--secret-file", secret, *arguments
        )
        hub.guard_answer(done.out.encode())
        return done

    return provision


def test_nearhub_provision_over_coap_prints_the_hubs_json(hub, profile, device_side):
    done = device_side("--name", "boiler", "--json")
    assert done.code == 0, done
    assert done.out.strip().encode() == hub.provision(profile.request("boiler")).body


def test_nearhub_provision_over_coap_brings_a_certificate(hub, device_side):
    file = hub.file("credentials.json", json.dumps({"hash": certificate(4000)}))
    done = device_side("--name", "boiler", "--credentials-file", file, "--json")
    assert done.code == 0, done
    assert done.json["credentialsValue"] == certificate(4000)


def test_nearhub_provision_over_coap_fails_with_1_when_refused(hub, profile, device_side):
    hub.add_device("boiler", profile)
    taken = device_side("--name", "boiler", "--json")
    assert (taken.code, taken.json["reason"]) == (1, "NAME_TAKEN")


def test_nearhub_provision_over_coap_fails_with_75_when_nobody_listens(hub, device_side):
    done = device_side("--name", "boiler", url="coap://127.0.0.1:1")
    assert done.code == 75
    assert done.err.startswith("nearhub: ") and done.err.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["coaps://127.0.0.1:1", "127.0.0.1:5683", "coap://", "coap://127.0.0.1:99999", "http://x"]
)
def test_nearhub_provision_over_coap_refuses_a_url_it_cannot_use(hub, device_side, url):
    assert device_side("--name", "boiler", url=url).code == 64
