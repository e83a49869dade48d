"""What a ThingsBoard server holds and decides behind its transports, written from protocol.md 1 to 6 and 11."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
import string

ALLOW_CREATE, CHECK, DISABLED = "ALLOW_CREATE_NEW_DEVICES", "CHECK_PRE_PROVISIONED_DEVICES", "DISABLED"
NOT_FOUND = {"errorMsg": "Provision data was not found!", "status": "NOT_FOUND"}
FAILURE = {"errorMsg": "Failed to provision device!", "status": "FAILURE"}
TYPES = ("ACCESS_TOKEN", "X509_CERTIFICATE", "MQTT_BASIC", "LWM2M_CREDENTIALS")
ALPHANUMERIC = string.ascii_letters + string.digits


class Malformed(Exception):
    """A request that cannot be read (protocol.md 3): there is no answer to it over MQTT."""


class Refused(Exception):
    """A device that may not be (protocol.md 4): FAILURE, and nobody is told why."""


@dataclasses.dataclass
class Profile:
    name: str
    key: str | None
    secret: str | None
    strategy: str = ALLOW_CREATE


@dataclasses.dataclass
class Device:
    name: str
    profile: str
    type: str
    id: str  # credentialsId
    value: str | dict  # credentialsValue, as it is answered
    gateway: bool = False
    state: str | None = None  # the server attribute provisionState
    attributes: dict = dataclasses.field(default_factory=dict)  # of client scope


def sha3(*parts: str) -> str:
    """EncryptionUtil.getSha3Hash: strips as for certificates, whatever it hashes (protocol.md 4.7)."""
    stripped = strip_certificate("|".join(parts))
    return hashlib.sha3_256(stripped.encode()).hexdigest()


def strip_certificate(value: str) -> str:
    return re.sub(r"-----(?:BEGIN|END) CERTIFICATE-----|[\r\n]", "", value)


def random_text(count: int = 20) -> str:
    return "".join(secrets.choice(ALPHANUMERIC) for _ in range(count))


class Tenant:
    """Profiles and devices of one tenant, which here is the whole server.

    `repeats`: a pre-provisioned device that asks again gets its credentials again, as before 4.2.1.1 (protocol.md 5).
    """

    def __init__(self, repeats: bool = False):
        self.repeats = repeats
        self.profiles: dict[str, Profile] = {}
        self.devices: dict[str, Device] = {}
        self.owners: dict[str, str] = {}  # credentialsId to the name of its device
        self.created: list[str] = []  # names in the order in which they came
        self.maximum: int | None = None  # devices of the tenant

    def add_profile(self, name: str, key: str | None, secret: str | None, strategy: str = ALLOW_CREATE) -> Profile:
        self.profiles[name] = Profile(name, key, secret, strategy)
        return self.profiles[name]

    def add_device(self, name: str, profile: str = "default", token: str | None = None, **members) -> Device:
        """A device as an administrator adds it."""
        token = token or random_text()
        return self._add(Device(name, profile, "ACCESS_TOKEN", token, token, **members))

    # Provisioning

    def provision(self, body: bytes) -> dict:
        """The answer to a request (protocol.md 2)."""
        request = parse(body)
        name = request["deviceName"]
        if name:
            name = name.strip("".join(map(chr, range(0x21))))
            if not name:
                return FAILURE
        key, secret = request["provisionDeviceKey"], request["provisionDeviceSecret"]
        profile = next((one for one in self.profiles.values() if key and one.key == key), None)
        if not secret or profile is None or profile.secret != secret or profile.strategy == DISABLED:
            return NOT_FOUND
        if profile.strategy == CHECK:
            return self._check(self.devices.get(name), profile)
        if name in self.devices:
            return FAILURE
        try:
            device = self._create(name or random_text(), profile, request)
        except Refused:
            return FAILURE
        return success(device)

    def _check(self, device: Device | None, profile: Profile) -> dict:
        if device is None or device.profile != profile.name:
            return FAILURE
        if device.state is None or (device.state == "provisioned" and self.repeats):
            device.state = "provisioned"
            return success(device)
        return FAILURE

    def _create(self, name: str, profile: Profile, request: dict) -> Device:
        if len(name.encode("utf-16-le")) > 510 or "\0" in name or re.search(r"\{\{.*\}\}|<[A-Za-z/!?]", name):
            raise Refused(name)
        if self.maximum is not None and len(self.devices) >= self.maximum:
            raise Refused("the device limit is reached")
        kind, identifier, value = credentials(request)
        if identifier in self.owners:
            raise Refused("the credentials are taken")
        gateway = request["gateway"]
        return self._add(Device(name, profile.name, kind, identifier, value, gateway, "provisioned"))

    def _add(self, device: Device) -> Device:
        assert device.name not in self.devices and device.id not in self.owners
        self.devices[device.name] = device
        self.owners[device.id] = device.name
        self.created.append(device.name)
        return device

    # Logging in, and what gateways say of others

    def login(self, client_id: str, username: str | None, password: bytes | None) -> Device | None:
        """The device whose credentials these are (protocol.md 11.4)."""
        given = (password or b"").decode(errors="replace")
        if not username:
            device = self._owner(sha3(client_id)) if client_id else None
            return device if device and device.type == "MQTT_BASIC" and device.value["password"] == given else None
        for identifier in (sha3(client_id, username), username):
            device = self._owner(identifier)
            if device is None:
                continue
            if device.type == "ACCESS_TOKEN" and identifier == username:
                return device
            if device.type == "MQTT_BASIC" and device.value["userName"] == username:
                return device if device.value["password"] == given else None
        return None

    def connect_through_gateway(self, name: str, profile: str):
        """v1/gateway/connect (protocol.md 11.6): an unknown device is made, with a token of the server's own."""
        self.profiles.setdefault(profile, Profile(profile, None, None, DISABLED))
        if name not in self.devices:
            self.add_device(name, profile)

    def _owner(self, identifier: str) -> Device | None:
        return self.devices.get(self.owners.get(identifier, ""))


def success(device: Device) -> dict:
    """The answer of protocol.md 6.1."""
    return {"credentialsValue": device.value, "credentialsType": device.type, "status": "SUCCESS"}


def parse(body: bytes) -> dict:
    """The members of a request with their defaults (protocol.md 1), read strictly."""
    try:
        given = json.loads(body)
    except ValueError as error:
        raise Malformed("no JSON") from error
    if not isinstance(given, dict):
        raise Malformed("no object")
    request = {}
    for member in ("provisionDeviceKey", "provisionDeviceSecret"):
        if not isinstance(given.get(member), str):
            raise Malformed(f"{member} is missing")
        request[member] = given[member]
    for member in ("deviceName", "token", "username", "password", "clientId", "hash"):
        request[member] = given.get(member, "")
        if not isinstance(request[member], str):
            raise Malformed(f"{member} is no text")  # null as well: Gson throws
    request["credentialsType"] = given.get("credentialsType", "ACCESS_TOKEN")
    if request["credentialsType"] not in TYPES:
        raise Malformed("unknown credentialsType")
    gateway = given.get("gateway", False)
    if not isinstance(gateway, (bool, str, int)):
        raise Malformed("gateway is null or no value")
    request["gateway"] = gateway is True or str(gateway).lower() == "true"
    return request


def credentials(request: dict) -> tuple[str, str, str | dict]:
    """Type, id and value of a new device's credentials (protocol.md 4.3 to 4.6)."""
    token, client_id, username, password = (request[one] for one in ("token", "clientId", "username", "password"))
    if not any((token, request["hash"], username, password, client_id)):
        made = random_text()
        return "ACCESS_TOKEN", made, made
    kind = request["credentialsType"]
    if kind == "ACCESS_TOKEN" and token:
        return kind, token, token
    if kind == "MQTT_BASIC" and (username or client_id and not password):
        identifier = sha3(client_id, username) if client_id and username else username or sha3(client_id)
        return kind, identifier, {"clientId": client_id, "userName": username, "password": password}
    if kind == "X509_CERTIFICATE" and request["hash"]:
        value = strip_certificate(request["hash"])
        return kind, sha3(value), value
    raise Refused(f"no credentials of type {kind}")
