"""Every field of every request is given what it is not for: no answer is INTERNAL, and no service dies."""

import uuid

import pytest
from google.protobuf.descriptor import FieldDescriptor
from grpc import StatusCode

from attacker import AUTHORITY, OPERATOR, Refused, new_key, public_pem
from suite import SERVICES

IDENTITIES = (OPERATOR, "manufacturer/acme", "gateway/home-1", AUTHORITY, "service/rollout", "service/liaison", "registrar/ara")
TEXTS = ("\x00", "a\x00b", "x" * 100_000, "'; DROP TABLE components; --", "\u202e\U0001f4a9", "../../../etc/passwd", "%s%n%s", "\r\nX: y")
NUMBERS = (-1, 2**31 - 1, -(2**31))
# What a request needs to be looked at in earnest, by service and field.
GOOD = {
    "inventory": {"parent": "gateways/home-1", "name": "gateways/home-1", "filter": 'ecu_serial = "wifi-0001"'},
    "consent": {"parent": "gateways/home-1", "principal_id": "resident-17", "language": "en"},
    "liaison": {"parent": "manufacturers/acme", "name": "manufacturers/acme"},
    "package-store": {"parent": "manufacturers/acme", "target_path": "acme/wifi/wifi-1.4.0.bin", "file_name": "timestamp.json",
                      "sha256": "ab" * 32, "name": "manufacturers/acme/uploads/" + "ab" * 32},
    "rollout": {"parent": "rollouts/-", "name": "rollouts/0123456789abcdef", "display_name": "x", "file_name": "timestamp.json",
                "ecu_serial": "wifi-0001", "sha256": "ab" * 32, "releases": "manufacturers/acme/releases/wifi-1.4.0"},
    "appid-registry": {"name": "profiles/Ra01.com.acme.thermostat", "app_id": "Ra01.com.acme.thermostat"},
}
STRINGS = (FieldDescriptor.TYPE_STRING,)
INTEGERS = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64)


def fill(message, service: str, depth: int = 0) -> None:
    """Gives every field a value that could be meant."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        repeated = field.label == FieldDescriptor.LABEL_REPEATED
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth < 3:
                fill(value.add() if repeated else value, service, depth + 1)
                if not repeated:
                    value.SetInParent()
        elif field.type in STRINGS:
            text = {"request_id": str(uuid.uuid4()), "public_key_pem": public_pem(new_key())}.get(
                field.name, "" if field.name == "page_token" else GOOD[service].get(field.name, "x"))
            value.append(text) if repeated else setattr(message, field.name, text)
        elif field.type in INTEGERS:
            value.append(1) if repeated else setattr(message, field.name, 1)
        elif field.type == FieldDescriptor.TYPE_ENUM:
            value.append(1) if repeated else setattr(message, field.name, 1)


def spoil(message, depth: int = 0):
    """Spoils one field after the other; yields its path each time, and mends it again."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        repeated = field.label == FieldDescriptor.LABEL_REPEATED
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth < 3 and not field.message_type.GetOptions().map_entry:
                for path in spoil(value[0] if repeated and value else getattr(message, field.name), depth + 1) if not repeated or value \
                        else ():
                    yield f"{field.name}.{path}"
            continue
        bad = TEXTS if field.type in STRINGS else NUMBERS if field.type in INTEGERS or field.type == FieldDescriptor.TYPE_ENUM else ()
        if repeated:
            if not value:
                continue
            good = value[0]
            for each in bad:
                value[0] = each
                yield f"{field.name} = {each!r:.30}"
            value[0] = good
        else:
            for each in bad:
                setattr(message, field.name, each)
                yield f"{field.name} = {each!r:.30}"
            setattr(message, field.name, value)


@pytest.mark.parametrize("service", SERVICES)
def test_no_field_of_a_request_has_a_service_fail(target, service):
    wrong, tried = [], 0
    for method in target.api.methods(service):
        caller = next(c for c in map(target.as_, IDENTITIES) if may_call(c, target, service, method))
        request = target.api.message(method.input_type)()
        fill(request, service)
        for path in spoil(request):
            tried += 1
            try:
                caller.send(service, method, request.SerializeToString(), timeout=0.2 if method.name in STREAMS else 20)
            except Refused as refusal:
                if refusal.code in (StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.UNAVAILABLE):
                    wrong.append(f"{method.name}: {path}: {refusal}")
        # And bytes that are no message, or one of unknown fields only.
        for nonsense in (b"\xff" * 50, b"\x0a\x02\xc3\x28", b"\x0a\xff\xff\xff\xff\x0f", b"\x08" * 7):
            try:
                caller.send(service, method, nonsense, timeout=0.2 if method.name in STREAMS else 20)
            except Refused as refusal:
                if refusal.code in (StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.UNAVAILABLE):
                    wrong.append(f"{method.name}: {nonsense!r}: {refusal}")
    assert tried > 20
    assert not wrong, "\n".join(wrong)
    target.assert_all_serve()


STREAMS = ("WatchComponents", "WatchPackages", "WatchDecisions", "StreamHints", "WatchProfiles")


def may_call(caller, target, service: str, method) -> bool:
    try:
        caller.send(service, method, b"\xff\xff")
    except Refused as refusal:
        return refusal.reason != "ROLE_NOT_ALLOWED"
    return True
