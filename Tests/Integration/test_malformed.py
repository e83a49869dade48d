"""Malformed requests (protocol.md D1, D2): always answered 400, never echoed, never fatal."""

import json

import pytest

from harness import PROVISION, canary, exchange

ECHO = "echo" + "0123456789abcdef"


def refused(answer, detail=None):
    """Asserts the error body of a malformed request."""
    assert answer.status == 400, answer.body
    assert answer.json.keys() == {"status", "message", "errorCode", "timestamp"}
    assert (answer.json["status"], answer.json["errorCode"]) == (400, 31)
    assert answer.json["message"].startswith("Invalid provision request: ")
    assert ECHO.encode() not in answer.body
    if detail:
        assert detail in answer.json["message"]


def text(**members):
    """A request for nobody, as JSON text whose members' values are given as JSON texts."""
    known = {"provisionDeviceKey": f'"{ECHO}"', "provisionDeviceSecret": f'"{ECHO}"'} | members
    return "{" + ",".join(f'"{name}":{value}' for name, value in known.items() if value is not None) + "}"


@pytest.mark.parametrize("raw", [
    f'"{ECHO}"', ECHO, "true", "{" + f'"{ECHO}"', "{'provisionDeviceKey':'" + ECHO + "'}",
    text() + ECHO, text() + ",", text() + text(), "/* c */" + text(), text() + "// c", ")]}'" + text(),
    text(deviceName="NaN"), text(deviceName="Infinity"), text(deviceName="01"), text(deviceName="+1"),
    text(deviceName="1."), text(deviceName=".5"), text(deviceName="0x10"), text(deviceName=f'"{ECHO}\n"'),
    text(deviceName=f'"{ECHO}\t"'), text(deviceName=f'"{ECHO}\\x41"'), text(deviceName=f'"{ECHO}\\u12"'),
])  # fmt: skip
def test_lenient_json_is_refused(shared_hub, raw):
    refused(shared_hub.provision(raw.encode()))


@pytest.mark.parametrize("value", [
    "1.5", "1e3", "-0.0", "1e999", "-1e999", "9" * 40, "-" + "9" * 40, "9223372036854775808", "18446744073709551616",
    "{}", "[]", '["a"]', '["a","b"]', '{"a":1}',
])  # fmt: skip
@pytest.mark.parametrize("member", ["deviceName", "token", "username", "hash", "provisionDeviceKey", "credentialsType"])
def test_what_is_no_text_is_refused(shared_hub, member, value):
    refused(shared_hub.provision(text(**{member: value}).encode()))


@pytest.mark.parametrize("value", ["{}", "[]", "[true]", '{"a":1}'])
def test_a_structure_is_no_gateway_flag(shared_hub, value):
    refused(shared_hub.provision(text(gateway=value).encode()))


@pytest.mark.parametrize("number", ["9223372036854775807", "-9223372036854775808", "0", "-1"])
def test_integers_of_64_bits_are_text(hub, profile, number):
    raw = json.dumps(profile.request()).replace("{", '{"deviceName":' + number + ",", 1)
    assert hub.provision(raw.encode()).json["deviceName"] == number


@pytest.mark.parametrize("flag", ["true", "false"])
def test_a_boolean_is_text(hub, profile, flag):
    raw = json.dumps(profile.request()).replace("{", '{"deviceName":' + flag + ",", 1)
    assert hub.provision(raw.encode()).json["deviceName"] == flag


@pytest.mark.parametrize("member", ["provisionDeviceKey", "provisionDeviceSecret"])
def test_the_detail_names_the_missing_member(shared_hub, member):
    refused(shared_hub.provision(text(**{member: None}).encode()), f"{member} is missing")
    refused(shared_hub.provision(text(**{member: "null"}).encode()), member)


@pytest.mark.parametrize("bad", [
    b"\xff", b"\xfe\xff", b"\xc0\xaf", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"\x80",
])  # fmt: skip
def test_invalid_utf_8_is_refused_wherever_it_stands(shared_hub, bad):
    valid = text(deviceName='"a"').encode()
    for at in (0, 1, valid.index(b"a"), valid.index(ECHO.encode()), len(valid)):
        refused(shared_hub.provision(valid[:at] + bad + valid[at:]))


@pytest.mark.parametrize("escape", [
    "\\ud800", "\\udc00", "\\ud800\\ud800", "\\ud83dx", "\\udc00\\ud800", "\\u0000", "a\\u0000b",
])  # fmt: skip
def test_lone_surrogates_and_nul_are_refused(shared_hub, escape):
    for member in ("deviceName", "token", "provisionDeviceKey", "unknown"):
        refused(shared_hub.provision(text(**{member: f'"{escape}"'}).encode()))
    refused(shared_hub.provision(text(**{escape: '"a"'}).encode()))


def test_raw_nul_bytes_are_refused(shared_hub):
    valid = text(deviceName='"a"').encode()
    for at in (0, 1, len(valid) // 2, len(valid)):
        refused(shared_hub.provision(valid[:at] + b"\0" + valid[at:]))


def test_nesting_is_limited_and_the_limit_is_named(shared_hub):
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deep = opening * 40 + "1" + closing * 40
        refused(shared_hub.provision(text(unknown=deep).encode()), "nesting over 16")
        refused(shared_hub.provision(deep.encode()))


def test_moderate_nesting_in_an_unknown_member_is_ignored(hub, profile):
    request = profile.request("boiler", unknown={"a": [{"b": [[[["[" * 50]]]]}]})
    assert hub.provision(request).json["status"] == "SUCCESS"


@pytest.mark.parametrize(
    "raw", [b"[" * 60000, b'{"a":' * 12000, b"[" * 30000 + b"]" * 30000, b"{" * 60000, b"]" * 60000]
)
def test_sixty_thousand_brackets_are_refused(shared_hub, raw):
    refused(shared_hub.provision(raw))


@pytest.mark.parametrize("bracket", [b"[", b"{", b'{"a":'])
def test_a_hundred_thousand_brackets_are_too_large(shared_hub, bracket):
    answer = shared_hub.provision(bracket * 100_000)
    assert (answer.status, answer.json["errorCode"]) == (413, 31)
    assert shared_hub.http("GET", "/health").status == 200


def test_every_prefix_of_a_valid_request_is_refused(hub, profile):
    whole = json.dumps(profile.request("Zähler \"1\"", credentialsType="MQTT_BASIC", username="ü", gateway=True),
                       ensure_ascii=False).encode()  # fmt: skip
    connection = hub.connect()
    for end in range(len(whole)):
        answer = exchange(connection, "POST", PROVISION, whole[:end])
        refused(answer)
        assert not any(secret.encode() in answer.body for secret in hub.guarded), end
    assert exchange(connection, "POST", PROVISION, whole).json["status"] == "SUCCESS"
    connection.close()


def test_every_byte_flipped_is_answered(hub, profile):
    """Any answer will do but none, and but one that hands out a device for somebody else's name."""
    whole = json.dumps(profile.request("boiler", token=canary("token"))).encode()
    connection = hub.connect()
    for at in range(len(whole)):
        for bit in (0x01, 0x20, 0x80):
            flipped = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
            assert exchange(connection, "POST", PROVISION, flipped).status in (200, 400)
    connection.close()


def test_a_bad_request_leaves_the_connection_usable(hub, profile):
    connection = hub.connect()
    refused(exchange(connection, "POST", PROVISION, b"{"))
    assert exchange(connection, "POST", PROVISION, profile.request("boiler")).json["status"] == "SUCCESS"
    connection.close()
