"""The command line: what people and scripts type, what they get, and with which exit status."""

import json
import os
import re
import shutil
import subprocess

import pytest

from harness import REPOSITORY, binary, canary

USAGE, DAMAGED, UNREACHABLE, CONFIGURATION = 64, 65, 75, 78
COMMANDS = ["serve", "check", "paths", "status", "profile", "device", "provision"]


def one_line(run):
    """Asserts that an error is one line as all errors are: `nearhub: <what>: <why>; <what to do>`."""
    assert re.fullmatch(r"nearhub: [^\n]+\n", run.err), run
    assert run.out == "", run
    return run.err


def key_and_secret(profile):
    """Key and secret in a profile's JSON."""
    return profile["provisionDeviceKey"], profile["profileData"]["provisionConfiguration"]["provisionDeviceSecret"]


def rows(document):
    """The entries of a list command's JSON."""
    return document if isinstance(document, list) else next(v for v in document.values() if isinstance(v, list))


# Help, version, usage


def test_version_is_one_line_with_the_libraries(hubs):
    run = hubs().cli("--version")
    libraries = ["libmicrohttpd", "libcoap", "libmosquitto", "jansson", "OpenSSL", "xxHash"]
    versions = ", ".join(rf"{library} \d[\d.]+" for library in libraries)
    assert run.code == 0
    assert re.fullmatch(rf"nearhub \d+\.\d+\.\d+ \({versions}\)\n", run.out), run.out


def test_help_names_every_command(hubs):
    run = hubs().cli("--help")
    assert run.code == 0
    assert all(re.search(rf"\b{command}\b", run.out) for command in COMMANDS)


@pytest.mark.parametrize("command", [
    *([name] for name in COMMANDS), ["profile", "create"], ["profile", "list"], ["profile", "show"],
    ["profile", "delete"],
    ["device", "list"], ["device", "show"], ["device", "add"],
], ids=" ".join)  # fmt: skip
def test_every_command_has_help(hubs, command):
    run = hubs().cli(*command, "--help")
    assert (run.code, run.err) == (0, "")
    assert "USAGE" in run.out.upper()
    described = re.findall(r"^  (--[a-z-]+)(?:[ ,][^\n]*?)?(?:  +|\n +)(\S.*)$", run.out, re.MULTILINE)
    assert described or len(command) == 1, run.out


@pytest.mark.parametrize("arguments", [
    ["nonsense"], ["--nonsense"], ["profile", "nonsense"], ["profile", "create"], ["profile", "show"],
    ["device", "add", "x"],
    ["profile", "create", "P", "--strategy", "maybe"], ["profile", "create", "P", "--repeat-window", "soon"],
    ["profile", "create", "P", "--repeat-window", "-1"], ["profile", "create", "P", "--secret-mode", "open"],
    ["profile", "create", "P", "--legacy-fields", "maybe"], ["profile", "create", "P", "--max-devices", "many"],
    ["provision"], ["status", "extra"], ["serve", "--set"],
], ids=" ".join)  # fmt: skip
def test_wrong_usage_is_64(hubs, arguments):
    run = hubs().cli(*arguments)
    assert run.code == USAGE, run
    assert run.err and not run.out


# status, paths, check


def test_status_as_json_is_what_the_hub_says(hub, profile):
    hub.provision(profile.request("boiler"))
    run = hub.cli("status", "--json")
    assert run.code == 0, run
    status = run.json
    assert status.keys() == hub.status().keys()
    assert (status["version"], status["pid"], status["profiles"], status["devices"]) == ("0.1.0", hub.pid, 1, 1)
    assert status["state"] == str(hub.state)
    assert status["admin"] == {"socket": str(hub.socket)}
    assert status["http"]["listening"] == [f"{hub.address[0]}:{hub.address[1]}"]
    assert status["http"]["failed"] == []
    assert status["http"]["requests"] >= 1
    assert status["libraries"].keys() >= {"libmicrohttpd", "jansson"}
    devices = status["journal"]["devices"]
    assert devices["seq"] == devices["durable"] == 1
    assert devices["bytes"] == (hub.state / "devices.jsonl").stat().st_size
    assert status["uptime"] >= 0


def test_status_for_people_shows_the_address_and_the_counts(hub, profile):
    run = hub.cli("status")
    assert (run.code, run.err) == (0, "")
    assert f"{hub.address[0]}:{hub.address[1]}" in run.out
    assert str(hub.state) in run.out
    assert "\x1b" not in run.out, "no colours where no terminal is"


def test_an_address_that_the_machine_does_not_have_is_shown_as_failed(hubs):
    foreign = "192.0.2.1:8080"  # RFC 5737: nobody's
    hub = hubs(f"http.listen=127.0.0.1:0 {foreign}").start()
    status = hub.status()["http"]
    assert len(status["listening"]) == 1
    assert [failed["address"] for failed in status["failed"]] == [foreign]
    assert status["failed"][0]["reason"]
    assert foreign in hub.stderr
    assert foreign in hub.cli("status").out


def test_a_port_that_somebody_has_is_shown_as_failed(hub, hubs):
    taken = f"{hub.address[0]}:{hub.address[1]}"
    other = hubs(f"http.listen=127.0.0.1:0 {taken}").start()
    status = other.status()["http"]
    assert len(status["listening"]) == 1
    assert [failed["address"] for failed in status["failed"]] == [taken]
    assert taken in other.stderr


def test_a_hub_whose_only_port_is_taken_refuses_with_75(hub, hubs):
    taken = f"{hub.address[0]}:{hub.address[1]}"
    run = hubs(f"http.listen={taken}").refused()
    assert run.code == UNREACHABLE, run
    assert taken in run.err


def test_http_can_be_off(hubs):
    hub = hubs("http.listen=").start()
    assert hub.status()["http"]["listening"] == []
    assert hub.cli("status").code == 0


@pytest.mark.parametrize("address", ["127.0.0.1:0 127.0.0.2:0", "[::1]:0", "127.0.0.1:0 [::1]:0"])
def test_several_addresses_are_served(hubs, address):
    hub = hubs(f"http.listen={address}").start()
    listening = hub.status()["http"]["listening"]
    assert len(listening) == len(address.split())
    for one in listening:
        host, port = one.rsplit(":", 1)
        hub.address = (host.strip("[]"), int(port))
        assert hub.http("GET", "/health").status == 200


def test_paths_says_where_everything_is(hub):
    run = hub.cli("paths", "--config", hub.configuration, "--state", hub.state, "--json")
    assert run.code == 0, run
    for path in (hub.configuration, hub.state, hub.socket, hub.state / "devices.jsonl", hub.state / "profiles.jsonl"):
        assert str(path) in json.dumps(run.json)
    assert str(hub.socket) in hub.cli("paths", "--config", hub.configuration, "--state", hub.state).out


def test_check_of_a_fine_hub_is_0(hub, profile):
    hub.provision(profile.request("boiler"))
    hub.stop()
    run = hub.cli("check", "--config", hub.configuration, "--state", hub.state, "--json")
    assert run.code == 0, run
    assert run.json
    assert hub.cli("check", "--config", hub.configuration, "--state", hub.state).code == 0


# Configuration


def check(hub, text, *settings):
    file = hub.directory / "other.conf"
    file.write_text(text)
    sets = [part for setting in settings for part in ("--set", setting)]
    return file, hub.cli("check", "--config", file, "--state", hub.state, *sets)


@pytest.mark.parametrize("text, line, nearest", [
    ("[http]\nlisten = 127.0.0.1:0\nlisen = x\n", 3, "listen"),
    ("[http]\n\n# fine\nmax-conections = 5\n", 4, "max-connections"),
    ("[log]\nlevl = info\n", 2, "level"),
    ("[htp]\nlisten = 127.0.0.1:0\n", 1, "http"),
])  # fmt: skip
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_key(hubs, text, line, nearest):
    file, run = check(hubs(), text)
    assert run.code == CONFIGURATION, run
    message = one_line(run)
    assert re.search(rf"{re.escape(str(file))}\D+{line}\b|{re.escape(str(file))}:{line}\b", message), message
    assert nearest in message


@pytest.mark.parametrize("text, line", [
    ("[http]\nmax-connections = 0\n", 2),
    ("[http]\nmax-connections = 65537\n", 2), ("[http]\nmax-connections = many\n", 2),
    ("[http]\nmax-connections-per-address = -1\n", 2), ("[log]\nlevel = loud\n", 2),
    ("[http]\nlisten = somewhere\n", 2),
    ("[http]\nlisten = 127.0.0.1:99999\n", 2), ("[http]\nlisten 127.0.0.1:0\n", 2), ("listen = 127.0.0.1:0\n", 1),
    ("[http]\nlisten = 127.0.0.1:0\n[log]\nlevel = " + "x" * 5000 + "\n", 4),
])  # fmt: skip
def test_a_bad_value_is_named_with_its_line(hubs, text, line):
    file, run = check(hubs(), text)
    assert run.code == CONFIGURATION, run
    assert re.search(rf"{re.escape(str(file))}\D+{line}\b", one_line(run))


def test_serve_refuses_a_bad_configuration_with_78(hubs):
    hub = hubs("http.lisen=x")
    run = hub.refused()
    assert run.code == CONFIGURATION, run
    assert "listen" in run.err


@pytest.mark.parametrize("setting", ["http.lisen=x", "log.level=loud", "http.max-connections=0", "nothing.x=1"])
def test_a_bad_set_is_78(hubs, setting):
    _, run = check(hubs(), "[log]\nlevel = info\n", setting)
    assert run.code == CONFIGURATION, run
    assert setting.split("=")[0] in one_line(run)


@pytest.mark.parametrize("setting", ["loglevel", "log.level", "=x", ".=x"])
def test_a_set_that_is_no_setting_is_refused(hubs, setting):
    _, run = check(hubs(), "[log]\nlevel = info\n", setting)
    assert run.code in (USAGE, CONFIGURATION), run


def test_set_wins_over_the_file(hubs):
    hub = hubs()
    other = hub.directory / "other.sock"
    hub.settings.append(f"admin.socket={other}")
    hub.socket = other
    hub.start()
    assert hub.status()["admin"]["socket"] == str(other)


def test_a_named_configuration_file_must_exist(hubs):
    hub = hubs()
    run = hub.cli("check", "--config", hub.directory / "nowhere.conf", "--state", hub.state)
    assert run.code == CONFIGURATION, run
    assert "nowhere.conf" in one_line(run)


# Finding the hub


@pytest.mark.parametrize("command", [
    ["status"], ["profile", "list"], ["profile", "show", "P"], ["profile", "delete", "P"], ["profile", "create", "P"],
    ["device", "list"], ["device", "show", "D"], ["device", "add", "D", "--profile", "P"],
], ids=" ".join)  # fmt: skip
def test_without_a_hub_commands_end_with_75_and_advice(hubs, command):
    hub = hubs()
    run = hub.cli(*command)
    assert run.code == UNREACHABLE, run
    assert str(hub.socket) in one_line(run)


def test_a_socket_nobody_listens_on_is_75(hub):
    hub.kill9()
    assert hub.socket.exists()
    run = hub.cli("status")
    assert run.code == UNREACHABLE, run
    assert str(hub.socket) in one_line(run)


def test_a_socket_left_by_a_killed_hub_is_no_obstacle(hub):
    hub.kill9()
    hub.start()
    assert hub.cli("status").code == 0


def test_a_clean_stop_removes_the_socket(hub):
    hub.stop()
    assert not hub.socket.exists()


def test_the_socket_is_found_by_option_configuration_or_environment(hub):
    nothing = {"NEARHUB_CONFIG": ""}
    assert hub.cli("status", "--socket", hub.socket, environment=nothing).code == 0
    assert hub.cli("status", "--config", hub.configuration, environment=nothing).code == 0
    assert hub.cli("status").code == 0
    wrong = hub.cli("status", "--socket", hub.directory / "no.sock")
    assert wrong.code == UNREACHABLE


# Profiles


def test_profile_create_makes_key_and_secret_and_prints_them(hub):
    run = hub.cli("profile", "create", "P", "--json")
    assert run.code == 0, run
    key, secret = key_and_secret(run.json)
    hub.guard(key, secret)
    assert len(key) >= 20 and len(secret) >= 20 and key != secret
    answer = hub.provision({"deviceName": "boiler", "provisionDeviceKey": key, "provisionDeviceSecret": secret})
    assert answer.json["status"] == "SUCCESS"


def test_profile_create_for_people_prints_key_and_secret_too(hub):
    run = hub.cli("profile", "create", "P")
    profile = hub.ask("GET", "/api/deviceProfiles?pageSize=1&page=0")["data"][0]
    hub.guard(*key_and_secret(profile))
    assert (run.code, run.err) == (0, "")
    assert all(value in run.out for value in key_and_secret(profile))


def test_profile_create_takes_key_and_secret_from_files(hub):
    key, secret = canary("key"), canary("secret")
    hub.guard(key, secret)
    run = hub.cli(
        "profile", "create", "P", "--json", "--key-file", hub.file("key", key + "\n"),
        "--secret-file", hub.file("secret", secret),
    )  # fmt: skip
    assert run.code == 0, run
    assert key_and_secret(run.json) == (key, secret)


def test_profile_create_takes_a_secret_from_standard_input(hub):
    secret = canary("secret")
    hub.guard(secret)
    run = hub.cli("profile", "create", "P", "--secret-file", "-", "--json", stdin=secret + "\n")
    assert run.code == 0, run
    assert key_and_secret(run.json)[1] == secret


def test_only_one_trailing_newline_is_cut(hub):
    secret = canary("secret") + " \n"
    run = hub.cli("profile", "create", "P", "--secret-file", "-", "--json", stdin=secret + "\n")
    if run.code == 0:
        assert key_and_secret(run.json)[1] == secret
    else:
        one_line(run)


def test_profile_create_has_an_option_for_every_setting(hub):
    run = hub.cli(
        "profile", "create", "P", "--strategy", "pre-provisioned", "--description", "boilers", "--repeat-window", "30",
        "--secret-mode", "either", "--legacy-fields", "off", "--allow-gateway", "on", "--max-devices", "7", "--json",
    )  # fmt: skip
    assert run.code == 0, run
    hub.guard(*key_and_secret(run.json))
    stored = hub.ask("GET", f"/api/deviceProfile/{run.json['id']['id']}")
    assert stored["provisionType"] == "CHECK_PRE_PROVISIONED_DEVICES"
    assert stored["description"] == "boilers"
    wanted = {"repeatWindow": 30, "secretMode": "either", "legacyFields": False, "allowGateway": True, "maxDevices": 7}
    assert stored["nearhub"].items() >= wanted.items()


def test_profile_create_has_thingsboards_and_our_defaults(hub):
    profile = hub.cli("profile", "create", "P", "--json").json
    hub.guard(*key_and_secret(profile))
    assert profile["provisionType"] == "ALLOW_CREATE_NEW_DEVICES"
    wanted = {"repeatWindow": 600, "secretMode": "shared", "legacyFields": True, "allowGateway": False}
    assert profile["nearhub"].items() >= wanted.items()


@pytest.mark.parametrize("window, stored", [("forever", "forever"), ("0", 0), ("86400", 86400)])
def test_profile_create_with_a_window(hub, window, stored):
    profile = hub.cli("profile", "create", "P", "--repeat-window", window, "--json").json
    hub.guard(*key_and_secret(profile))
    assert profile["nearhub"]["repeatWindow"] == stored


def test_profile_create_of_a_disabled_profile(hub):
    run = hub.cli("profile", "create", "P", "--strategy", "disabled", "--json")
    assert (run.code, run.json["provisionType"]) == (0, "DISABLED")


def test_profile_create_twice_is_refused(hub):
    hub.guard(*key_and_secret(hub.cli("profile", "create", "P", "--json").json))
    run = hub.cli("profile", "create", "P")
    assert run.code == 1
    assert "already exists" in one_line(run)


def test_a_missing_key_file_is_named(hub):
    run = hub.cli("profile", "create", "P", "--key-file", hub.directory / "nowhere")
    assert run.code in (1, USAGE, 74), run
    assert "nowhere" in one_line(run)


def test_profile_list_and_show_mask_key_and_secret(hub):
    profiles = [hub.create_profile(name) for name in ("pumps", "boilers")]
    for arguments in (["profile", "list"], ["profile", "show", "pumps"]):
        for form in ([], ["--json"]):
            run = hub.cli(*arguments, *form)
            assert (run.code, run.err) == (0, "")
            assert "pumps" in run.out
            assert not any(value in run.out for profile in profiles for value in (profile.key, profile.secret))
    shown = hub.cli("profile", "show", "pumps", "--json").json
    assert key_and_secret(shown) == ("***", "***")
    assert [row["name"] for row in rows(hub.cli("profile", "list", "--json").json)] == ["boilers", "pumps"]


def test_profile_show_with_secrets(hub, profile):
    assert key_and_secret(hub.cli("profile", "show", "P", "--secrets", "--json").json) == (profile.key, profile.secret)
    shown = hub.cli("profile", "show", "P", "--secrets").out
    assert profile.key in shown and profile.secret in shown


def test_profile_show_and_delete_of_an_unknown_profile_are_refused(hub):
    for verb in ("show", "delete"):
        run = hub.cli("profile", verb, "nobody")
        assert run.code == 1, run
        assert "nobody" in one_line(run)


def test_profile_delete(hub, profile):
    assert hub.cli("profile", "delete", "P").code == 0
    assert hub.status()["profiles"] == 0
    assert hub.provision(profile.request("boiler")).json["status"] == "NOT_FOUND"
    hub.restart()
    assert hub.status()["profiles"] == 0


def test_a_profile_in_use_is_not_deleted(hub, profile):
    hub.add_device("boiler", profile)
    run = hub.cli("profile", "delete", "P")
    assert run.code == 1
    assert "device" in one_line(run)
    assert hub.status()["profiles"] == 1


def test_two_hundred_profiles_are_all_listed(hub):
    for number in range(200):
        hub.create_profile(f"P{number:03}")
    assert [row["name"] for row in rows(hub.cli("profile", "list", "--json").json)] == [f"P{n:03}" for n in range(200)]


# Devices


def test_device_add_makes_a_random_token(hub, profile):
    run = hub.cli("device", "add", "boiler", "--profile", "P", "--label", "cellar", "--json")
    assert run.code == 0, run
    credentials = hub.credentials("boiler")
    hub.guard(credentials["credentialsId"])
    assert credentials["credentialsType"] == "ACCESS_TOKEN"
    assert re.fullmatch(r"[A-Za-z0-9]{20}", credentials["credentialsId"])
    device = hub.device("boiler")
    assert (device["label"], device["type"], device["additionalInfo"]) == ("cellar", "P", None)
    assert hub.attributes("boiler") == {}


@pytest.mark.parametrize("credentials, stored", [
    ({"credentialsType": "ACCESS_TOKEN", "credentialsId": "token-1"}, "token-1"),
    ({"credentialsType": "MQTT_BASIC", "credentialsValue": {"clientId": "", "userName": "user-1", "password": "p"}},
     "user-1"),
    ({"credentialsType": "X509_CERTIFICATE",
      "credentialsValue": "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n"},
     "5ef5c43d5106429e4b4f4c0d543e8e4cdaada96fa210e208a35526be302b40e5"),
], ids=["token", "basic", "certificate"])  # fmt: skip
def test_device_add_takes_credentials_from_a_file(hub, profile, credentials, stored):
    file = hub.file("credentials.json", json.dumps(credentials))
    run = hub.cli("device", "add", "boiler", "--profile", "P", "--credentials-file", file)
    assert run.code == 0, run
    assert hub.credentials("boiler")["credentialsType"] == credentials["credentialsType"]
    assert hub.credentials("boiler")["credentialsId"] == stored


def test_device_add_of_a_gateway(hub, profile):
    assert hub.cli("device", "add", "box", "--profile", "P", "--gateway").code == 0
    hub.guard(hub.credentials("box")["credentialsId"])
    assert hub.device("box")["additionalInfo"] == {"gateway": True}


def test_device_add_refusals_name_the_reason(hub, profile):
    hub.add_device("boiler", profile, {"credentialsType": "ACCESS_TOKEN", "credentialsId": "token-1"})
    taken = hub.file("taken.json", json.dumps({"credentialsType": "ACCESS_TOKEN", "credentialsId": "token-1"}))
    for arguments, words in (
        (["boiler", "--profile", "P"], "already exists"),
        (["pump", "--profile", "P", "--credentials-file", taken], "already assigned"),
        (["pump", "--profile", "nobody"], "nobody"),
        (["n" * 256, "--profile", "P"], "255"),
    ):
        run = hub.cli("device", "add", *arguments)
        assert run.code == 1, run
        assert words in one_line(run)
    assert hub.status()["devices"] == 1


def test_device_list_shows_no_secret(hub, profile):
    token = hub.provision(profile.request("boiler")).json["credentialsValue"]
    hub.add_device("pump", profile)
    hub.guard(hub.credentials("pump")["credentialsId"])
    text, listed = hub.cli("device", "list"), hub.cli("device", "list", "--json")
    assert (text.code, listed.code) == (0, 0)
    assert token not in text.out + listed.out
    assert "boiler" in text.out and "pump" in text.out
    assert [(row["name"], row["provisioned"]) for row in rows(listed.json)] == [("boiler", True), ("pump", False)]


def test_device_show_masks_unless_asked(hub, profile):
    token = hub.provision(profile.request("boiler")).json["credentialsValue"]
    for form in ([], ["--json"]):
        masked = hub.cli("device", "show", "boiler", *form)
        assert (masked.code, masked.err) == (0, "")
        assert token not in masked.out and "***" in masked.out
        assert token in hub.cli("device", "show", "boiler", "--secrets", *form).out
    assert hub.cli("device", "show", "boiler", "--json").json


def test_device_show_masks_mqtt_passwords(hub, profile):
    password = canary("password")
    hub.guard(password)
    basic = {"credentialsType": "MQTT_BASIC", "username": "user-1", "password": password}
    hub.provision(profile.request("boiler", **basic))
    for form in ([], ["--json"]):
        assert password not in hub.cli("device", "show", "boiler", *form).out
        assert password in hub.cli("device", "show", "boiler", "--secrets", *form).out


def test_device_show_of_an_unknown_device_is_refused(hub):
    run = hub.cli("device", "show", "nobody")
    assert run.code == 1
    assert "nobody" in one_line(run)


@pytest.mark.parametrize("name", ["Zähler 1/+#", "a&b=c?d%20e", "😀", "-x"])
def test_device_show_of_an_unusual_name(hub, profile, name):
    hub.add_device(name, profile, {"credentialsType": "ACCESS_TOKEN", "credentialsId": "token-1"})
    run = hub.cli("device", "show", "--json", "--", name)
    assert run.code == 0, run
    assert name in json.dumps(run.json, ensure_ascii=False)


def test_a_thousand_devices_are_all_listed(hub):
    profile = hub.create_profile(maxDevices=5000)
    connection = hub.connect()
    for number in range(1100):
        connection.request("POST", "/api/v1/provision", json.dumps(profile.request(f"d{number}")))
        connection.getresponse().read()
    connection.close()
    assert [row["name"] for row in rows(hub.cli("device", "list", "--json").json)] == [f"d{n}" for n in range(1100)]


def test_a_full_profile_is_not_a_matter_of_rights(hub):
    """The advice was to try again with sudo: every 403 was taken for one."""
    profile = hub.create_profile(maxDevices=1)
    assert hub.cli("device", "add", "first", "--profile", profile.name).code == 0
    run = hub.cli("device", "add", "second", "--profile", profile.name)
    assert run.code == 1 and "limit of 1 devices" in run.err and "QUOTA" in run.err and "--max-devices" in run.err
    assert "sudo" not in one_line(run)


@pytest.mark.parametrize("arguments, wanted", [
    (["profile", "create", "x", "--max-devices", "0"], "a number from 1 to"),
    (["profile", "create", "x", "--max-devices", "many"], "a number from 1 to"),
    (["profile", "create", "x", "--repeat-window", "abc"], 'seconds, 0 or "forever"'),
    (["devcie", "--help"], "devcie"),
    (["profile", "crate", "--help"], "crate"),
    (["help", "devcie"], "devcie"),
])  # fmt: skip
def test_what_is_mistyped_is_named_with_what_may_be_there(hub, arguments, wanted):
    """A misspelt command with --help was answered with another one's help, status 0."""
    run = hub.cli(*arguments)
    assert run.code == 64 and wanted in one_line(run) and "--help" in run.err, run


def test_the_hubs_id_is_shown_without_an_upstream(hub):
    """The ACL of the upstream's broker needs it before."""
    assert re.search(rf"^hub id +{hub.status()['upstream']['hub']}$", hub.cli("status").out, re.M)


def test_the_readmes_derived_secret_is_one(hub):
    """README said base64url; the hub takes it without padding only."""
    profile = hub.create_profile("meters", secretMode="derived")
    hub.file("meters.secret", profile.secret)
    readme = (REPOSITORY / "README.md").read_text()
    [command] = re.findall(r"^printf 'nearhub-device-v1.*$", readme, re.M)
    done = subprocess.run(["bash", "-c", command], cwd=hub.directory, capture_output=True, text=True, check=True)
    hub.guard(done.stdout.strip())
    request = profile.request("meter-1") | {"provisionDeviceSecret": done.stdout.strip()}
    assert hub.provision(request).json["status"] == "SUCCESS"


# Who may


def as_nobody(hub, *arguments):
    """Runs the command line as the user nobody, with a copy of the program that nobody can reach."""
    program = hub.directory / "nearhub"
    shutil.copy(binary(), program)
    program.chmod(0o755)
    hub.directory.chmod(0o711)
    hub.configuration.chmod(0o644)
    return subprocess.run(
        ["runuser", "-u", "nobody", "--", program, *arguments], text=True, capture_output=True, timeout=30, cwd="/",
        env=hub.environment | {"NEARHUB_CONFIG": str(hub.configuration)},
    )  # fmt: skip


@pytest.mark.parametrize("mode", [None, 0o666])
def test_another_user_is_refused_with_1(hub, profile, mode):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if mode is not None:
        hub.socket.chmod(mode)  # the hub itself must look at who is asking
    for arguments in (
        ["status"],
        ["profile", "list"],
        ["profile", "show", "P", "--secrets"],
        ["profile", "create", "Q"],
    ):
        run = as_nobody(hub, *arguments)
        assert run.returncode == 1, run
        assert "only root and the hub's own user may do this" in run.stderr
        assert run.stdout == ""
    state = as_nobody(hub, "log", "verify", "--state", hub.state)
    assert state.returncode == 74 and "only root and the user root may do this" in state.stderr, state
    assert hub.status()["profiles"] == 1
