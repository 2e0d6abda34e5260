"""Attacks by a gateway: on other homes, on the inventory's records, and on the rollout's."""

import datetime
import hashlib
import itertools
import json
import uuid

import pytest
from grpc import StatusCode

from attacker import OPERATOR, Refused, as_json, new_key, public_pem, signed
from suite import wait_for
from world import RELEASES

HOME, CAR = "gateway/home-1", "gateway/car-1"
NUMBERS = itertools.count(1)


class RogueGateway:
    """A gateway that was provisioned like any other, whose owner has its keys and those of its two devices."""

    def __init__(self, target) -> None:
        number = next(NUMBERS)
        self.id = f"rogue-{number}"
        self.key, self.proxy_key, self.device_key = new_key(), new_key(), new_key()
        self.own, self.constrained = f"rogue-own-{number}", f"rogue-door-{number}"
        self.counter = self.report_counter = 0
        self.caller = target.as_(f"gateway/{self.id}")
        operator = target.as_(OPERATOR)
        operator.call("inventory", "CreateGateway", gateway={
            "name": f"gateways/{self.id}", "kind": "KIND_HOME", "public_key_pem": public_pem(self.key),
            "proxy_public_key_pem": public_pem(self.proxy_key)})
        for serial, component in ((self.own, {"public_key_pem": public_pem(self.device_key)}),
                                  (self.constrained, {"constrained": True})):
            operator.call("inventory", "CreateDevice", device={
                "name": f"gateways/{self.id}/devices/{serial}", "manufacturer": "acme", "model": "WL-9", "hardware_version": "1",
                "components": [dict(component, ecu_serial=serial, hardware_id="ar9271")]})

    def challenge(self) -> str:
        return self.caller.call("inventory", "CreateChallenge").nonce

    def report(self, nonce: str, serial: str = "", *, key=None, **changes) -> dict:
        """A version report of the gateway's own device unless changed; signed by the device's key unless another is given."""
        self.report_counter += 1
        content = {
            "_type": "version-report", "ecu_serial": serial or self.own, "hardware_id": "ar9271", "manufacturer": "acme", "model": "WL-9",
            "installed_image": {"filepath": "", "fileinfo": {"length": 4, "hashes": {"sha256": hashlib.sha256(b"evil").hexdigest()}}},
            "version": "6.6.6", "release_counter": 0, "report_counter": self.report_counter, "nonce": nonce, "attacks_detected": "",
            "proxied": False,
        }
        content.update(changes)
        return signed(content, key or self.device_key)

    def manifest(self, nonce: str, reports: list, *, key=None, **changes) -> bytes:
        self.counter += 1
        content = {"_type": "gateway-manifest", "gateway_id": self.id, "nonce": nonce, "manifest_counter": self.counter,
                   "time": datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"), "reports": reports}
        content.update(changes)
        return as_json(signed(content, key or self.key))

    def submit(self, manifest: bytes):
        return self.caller.call("inventory", "SubmitManifest", manifest=manifest).results


@pytest.fixture(name="rogue", scope="module")
def _rogue(target):
    """A gateway whose first, honest report was accepted."""
    gateway = RogueGateway(target)
    nonce = gateway.challenge()
    results = gateway.submit(gateway.manifest(nonce, [
        gateway.report(nonce), gateway.report(nonce, gateway.constrained, key=gateway.proxy_key, proxied=True)]))
    assert all(result.accepted for result in results), results
    return gateway


def refused_manifest(target, rogue, manifest: bytes) -> str:
    with target.unchanged(), pytest.raises(Refused) as refusal:
        rogue.submit(manifest)
    return refusal.value.reason


def refused_report(target, rogue, make) -> str:
    """The reason for which the one report that `make` makes from a fresh nonce is refused."""
    nonce = rogue.challenge()
    before = target.repository(), versions(target)
    [result] = rogue.submit(rogue.manifest(nonce, [make(nonce)]))
    assert not result.accepted
    assert (target.repository(), versions(target)) == before
    return result.reason


def versions(target) -> dict:
    return {serial: installed[1:] for serial, installed in target.components().items()}


# Manifests.


def test_a_gateway_speaks_for_no_other_home(target, rogue):
    nonce = rogue.challenge()
    assert refused_manifest(target, rogue, rogue.manifest(nonce, [], gateway_id="home-1")) == "GATEWAY_MISMATCH"


def test_a_manifest_that_another_key_signed_is_refused(target, rogue):
    for key in (new_key(), rogue.proxy_key, rogue.device_key):
        nonce = rogue.challenge()
        assert refused_manifest(target, rogue, rogue.manifest(nonce, [], key=key)) == "MANIFEST_SIGNATURE_INVALID"


def test_a_device_of_another_home_is_not_reported(target, rogue):
    # Signed by a key of the gateway's, and by one that its device holds.
    for key in (rogue.device_key, rogue.proxy_key):
        for proxied in (False, True):
            assert refused_report(target, rogue, lambda nonce, key=key, proxied=proxied: rogue.report(
                nonce, "wifi-0001", key=key, proxied=proxied)) == "OTHER_GATEWAY"
    # And nothing that a stranger says has an effect on what is known of the other home's device.
    assert target.components()["wifi-0001"][1] == "1.3.0"


def test_a_manifest_is_not_taken_twice(target, rogue):
    nonce = rogue.challenge()
    manifest = rogue.manifest(nonce, [rogue.report(nonce)])
    assert rogue.submit(manifest)[0].accepted
    assert refused_manifest(target, rogue, manifest) == "NONCE_MISMATCH"
    # Not with a fresh challenge outstanding either.
    rogue.challenge()
    assert refused_manifest(target, rogue, manifest) == "NONCE_MISMATCH"


def test_a_challenge_is_of_one_gateway(target, rogue):
    stolen = target.as_("gateway/rogue-thief")
    other = RogueGateway(target)
    assert refused_manifest(target, rogue, rogue.manifest(other.challenge(), [])) == "NONCE_MISMATCH"
    with pytest.raises(Refused) as refusal:
        stolen.call("inventory", "CreateChallenge")
    assert refusal.value.code == StatusCode.NOT_FOUND


def test_a_manifest_counter_rises(target, rogue):
    nonce = rogue.challenge()
    last = target.as_(OPERATOR).call("inventory", "GetGateway", name=f"gateways/{rogue.id}").last_manifest_counter
    assert last > 1
    for falling in (1, last):
        assert refused_manifest(target, rogue, rogue.manifest(nonce, [], manifest_counter=falling)) == "COUNTER_REPLAYED"


def test_a_devices_report_is_not_replayed_in_a_new_manifest(target, rogue):
    nonce = rogue.challenge()
    old = rogue.report(nonce, version="1.0.0")
    assert rogue.submit(rogue.manifest(nonce, [old]))[0].accepted
    assert refused_report(target, rogue, lambda fresh: old) == "NONCE_MISMATCH"
    altered = {"signatures": old["signatures"]}
    assert refused_report(target, rogue, lambda fresh: dict(
        altered, signed=dict(old["signed"], nonce=fresh))) == "SIGNATURE_INVALID"


def test_a_report_counter_rises(target):
    rogue = RogueGateway(target)
    nonce = rogue.challenge()
    assert rogue.submit(rogue.manifest(nonce, [rogue.report(nonce, report_counter=1000)]))[0].accepted
    assert refused_report(target, rogue, lambda fresh: rogue.report(fresh, report_counter=1000)) == "COUNTER_REPLAYED"


def test_a_gateway_signs_for_no_device_that_can_sign_itself(target):
    # FOTA-K
    rogue = RogueGateway(target)
    assert refused_report(target, rogue, lambda nonce: rogue.report(nonce, key=rogue.proxy_key, proxied=True)) == "NOT_PROXIED"
    assert refused_report(target, rogue, lambda nonce: rogue.report(nonce, key=rogue.proxy_key)) == "SIGNATURE_INVALID"
    # And a report for a constrained one says what it is.
    assert refused_report(target, rogue, lambda nonce: rogue.report(nonce, rogue.constrained, key=rogue.proxy_key)) == "NOT_PROXIED"
    assert refused_report(
        target, rogue, lambda nonce: rogue.report(nonce, rogue.constrained, key=rogue.key, proxied=True)) == "SIGNATURE_INVALID"


def test_a_report_is_of_the_hardware_and_model_that_were_provisioned(target):
    rogue = RogueGateway(target)
    for change in ({"hardware_id": "x86-settop"}, {"manufacturer": "zenith"}, {"model": "WL-10"}):
        assert refused_report(target, rogue, lambda nonce, change=change: rogue.report(nonce, **change)) == "HARDWARE_MISMATCH"


def test_a_report_that_is_doubled_or_of_nobody_is_refused_alone(target):
    rogue = RogueGateway(target)
    nonce = rogue.challenge()
    results = rogue.submit(rogue.manifest(nonce, [
        rogue.report(nonce), rogue.report(nonce), rogue.report(nonce, "nobody-0001"), {"signatures": [], "signed": {}}, 7, None, [],
        "report", {"signed": {"_type": "version-report", "ecu_serial": 5}, "signatures": [{}]},
    ]))
    assert [result.accepted for result in results] == [True] + [False] * 8
    assert results[2].reason == "UNKNOWN_COMPONENT"


@pytest.mark.parametrize("nonsense", [
    b"", b"{", b"null", b"[]", b"{}", b'{"signed":{},"signatures":[]}', b"\xff\xfe\x00", b'{"signed":null,"signatures":null}',
    b'{"signed":{"_type":"gateway-manifest","gateway_id":{"$ne":""}},"signatures":[]}', b"[" * 500_000, b'{"a":' * 100_000,
    b'{"signed":{"_type":"gateway-manifest","manifest_counter":1e999},"signatures":[]}', b'{"signed":' + b"9" * 900_000 + b"}",
    b'{"signatures":[],"signed":{"a":1,"a":2}}', b"\xef\xbb\xbf{}", b'{"signed":{"_type":"\\u0000"},"signatures":[]}',
    b'{"signed":{"_type":"\\ud800"},"signatures":[]}',
], ids=range(17))
def test_nonsense_is_no_manifest(target, rogue, nonsense):
    assert refused_manifest(target, rogue, nonsense) == "MANIFEST_MALFORMED"


def test_a_manifest_of_two_mebibytes_is_refused(target, rogue):
    nonce = rogue.challenge()
    manifest = rogue.manifest(nonce, [rogue.report(nonce, attacks_detected="x" * (2 << 20))])
    assert refused_manifest(target, rogue, manifest) == "MANIFEST_MALFORMED"


def test_a_manifest_of_two_thousand_reports_is_refused(target, rogue):
    nonce = rogue.challenge()
    assert refused_manifest(target, rogue, rogue.manifest(nonce, [{}] * 2000)) == "MANIFEST_MALFORMED"
    assert refused_manifest(target, rogue, rogue.manifest(nonce, [rogue.report(nonce)] * 2000)) == "MANIFEST_MALFORMED"


def test_a_manifest_with_text_that_no_database_takes_is_refused(target):
    rogue = RogueGateway(target)
    for text in ("\x00", "a\x00b", "\ud800", "\x1b[2J", "\u202e"):
        for field in ("version", "attacks_detected", "ecu_serial"):
            nonce = rogue.challenge()
            manifest = rogue.manifest(nonce, [{"signatures": [], "signed": {"_type": "version-report", field: ""}}])
            manifest = manifest.replace(f'"{field}": ""'.encode(), f'"{field}": {json.dumps(text)}'.encode())
            assert refused_manifest(target, rogue, manifest) == "MANIFEST_MALFORMED"


# Other homes.


def test_a_gateway_reads_nothing_of_another_home(target):
    for service, method, fields in (
            ("consent", "ListPrompts", {"parent": "gateways/car-1"}), ("consent", "ListPolicies", {"parent": "gateways/car-1"}),
            ("consent", "ListRecords", {"parent": "gateways/car-1"}), ("consent", "GetRecord", {"name": f"gateways/car-1/records/{uuid.uuid4()}"}),
            ("inventory", "GetGateway", {"name": "gateways/car-1"}), ("inventory", "ListDevices", {"parent": "gateways/car-1"}),
            ("inventory", "GetDevice", {"name": "gateways/car-1/devices/door"})):
        with pytest.raises(Refused) as refusal:
            target.as_(HOME).call(service, method, **fields)
        assert refusal.value.code == StatusCode.PERMISSION_DENIED, method


def test_a_gateway_that_asks_for_all_homes_is_shown_its_own(target):
    home = target.as_(HOME)
    components = home.call("inventory", "ListComponents", page_size=1000).components
    assert components and all(component.name.startswith("gateways/home-1/") for component in components)
    others = home.call("inventory", "ListComponents", filter='ecu_serial = "door-0001"', page_size=1000).components
    assert not others
    assert all(device.name.startswith("gateways/home-1/")
               for device in home.call("inventory", "ListDevices", parent="gateways/-", page_size=1000).devices)
    assert all(a.gateway == "home-1" for a in home.call("rollout", "ListAssignments", parent="rollouts/-").assignments)


def test_a_page_token_of_the_operator_shows_a_gateway_no_more(target):
    token = target.as_(OPERATOR).call("inventory", "ListComponents", page_size=1).next_page_token
    assert token
    with pytest.raises(Refused) as refusal:
        target.as_(HOME).call("inventory", "ListComponents", page_size=1, page_token=token)
    assert refusal.value.code == StatusCode.INVALID_ARGUMENT


def test_the_directors_files_are_named_by_no_home(target):
    for name in ("car-1/timestamp.json", "../car-1/timestamp.json", "car-1.timestamp.json", "1.targets.json/../../car-1", "01.root.json",
                 "1.root.json\x00", "+1.root.json", "18446744073709551617.root.json", "-1.root.json", "1.car-1.json", "%2e%2e/1.root.json"):
        with pytest.raises(Refused) as refusal:
            target.as_(HOME).call("rollout", "GetDirectorMetadata", file_name=name)
        assert refusal.value.code in (StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT), name
    for name in ("../../etc/passwd", "/etc/passwd", "1.root.json\x00", "..", "1.acme.json/", "%31.root.json", "1.ACME.json"):
        with pytest.raises(Refused) as refusal:
            target.as_(HOME).call("package-store", "GetMetadata", file_name=name)
        assert refusal.value.code in (StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT), name


def test_two_homes_have_directors_of_their_own(target):
    mine, theirs = (json.loads(target.as_(gateway).call("rollout", "GetDirectorMetadata", file_name="timestamp.json").content)
                    for gateway in (HOME, CAR))
    targets = [json.dumps(json.loads(target.as_(gateway).call(
        "rollout", "GetDirectorMetadata", file_name=target.director_files(gateway.split("/")[1])[2]).content)["signed"])
        for gateway in (HOME, CAR)]
    assert mine["signatures"] != theirs["signatures"]
    assert "telematics" not in targets[0] and "wifi" not in targets[1]
    with pytest.raises(Refused) as refusal:
        target.as_(HOME).call("rollout", "GetDirectorMetadata", file_name="timestamp.json", gateway="car-1")
    assert (refusal.value.code, refusal.value.reason) == (StatusCode.PERMISSION_DENIED, "GATEWAY_MISMATCH")


def test_a_gateway_sets_up_no_policy_for_another_home(target):
    with pytest.raises(Refused) as refusal:
        target.as_(HOME).call("consent", "CreatePolicy", parent="gateways/car-1", policy={
            "principal_id": "driver-4", "kinds": ["UPDATE_KIND_SECURITY"]})
    assert refusal.value.code == StatusCode.PERMISSION_DENIED
    assert not target.as_(CAR).call("consent", "ListPolicies", parent="gateways/car-1").policies


# Progress.


@pytest.fixture(name="campaign", scope="module")
def _campaign(target):
    """A rollout that waits for the driver: the door's assignment is open. Aborted at the end."""
    release = next(release for release in RELEASES if release.component == "door")
    rollout = target.story.create_rollout("Under attack", [release])
    target.suite.ctl(OPERATOR, "rollout", "start", rollout)
    wait_for(lambda: target.as_(CAR).call("consent", "ListPrompts", parent="gateways/car-1").prompts, "the question to the driver", 30)
    # The rollout notes that it has asked after consent has the question.
    wait_for(lambda: phase(door(target, rollout)) == "UPDATE_PHASE_AWAITING_CONSENT", "the rollout to know that it asked", 30)
    yield rollout
    target.suite.ctl(OPERATOR, "rollout", "abort", rollout)


def door(target, campaign):
    [assignment] = target.as_(OPERATOR).call("rollout", "ListAssignments", parent=campaign).assignments
    # When it was asked about, which may still be going on, is all that may change.
    assignment.ClearField("update_time")
    return assignment


def phase(assignment) -> str:
    return assignment.DESCRIPTOR.fields_by_name["phase"].enum_type.values_by_number[assignment.phase].name


def progress(target, identity: str, **entry) -> list:
    return list(target.as_(identity).call("rollout", "ReportProgress", progress=[entry]).accepted)


def test_a_gateway_reports_no_progress_of_another_home(target, campaign):
    before = door(target, campaign)
    for phase in ("UPDATE_PHASE_DOWNLOADING", "UPDATE_PHASE_FAILED"):
        assert progress(target, HOME, ecu_serial="door-0001", sha256=before.image.sha256, phase=phase,
                        failure_reason="FAILURE_REASON_INTEGRITY" if phase.endswith("FAILED") else 0) == [False]
    assert door(target, campaign) == before


def test_no_gateway_completes_an_update_by_saying_so(target, campaign):
    # FOTA-H
    before = door(target, campaign)
    for phase in ("UPDATE_PHASE_SUCCEEDED", "UPDATE_PHASE_CANCELLED", "UPDATE_PHASE_UNSPECIFIED", 99, -1):
        with pytest.raises(Refused) as refusal:
            progress(target, CAR, ecu_serial="door-0001", sha256=before.image.sha256, phase=phase)
        assert refusal.value.code == StatusCode.INVALID_ARGUMENT
    assert door(target, campaign) == before


def test_progress_before_the_update_was_let_in_is_not_taken(target, campaign):
    # The driver has not consented: there is nothing that could be under way.
    before = door(target, campaign)
    for phase in ("UPDATE_PHASE_DOWNLOADING", "UPDATE_PHASE_UPDATING", "UPDATE_PHASE_VERIFYING"):
        assert progress(target, CAR, ecu_serial="door-0001", sha256=before.image.sha256, phase=phase) == [False]
    assert progress(target, CAR, ecu_serial="door-0001", sha256="00" * 32, phase="UPDATE_PHASE_DOWNLOADING") == [False]
    assert door(target, campaign) == before


def test_a_gateway_answers_no_question_to_another_home(target, campaign):
    [prompt] = target.as_(CAR).call("consent", "ListPrompts", parent="gateways/car-1").prompts
    for name in (prompt.name, prompt.name.replace("car-1", "home-1")):
        with pytest.raises(Refused) as refusal:
            target.as_(HOME).call("consent", "AnswerPrompt", name=name, decision="DECISION_GRANTED", principal_id="driver-4",
                                  language="en", text_sha256="00" * 32)
        assert refusal.value.code in (StatusCode.PERMISSION_DENIED, StatusCode.NOT_FOUND), name
    assert [p.name for p in target.as_(CAR).call("consent", "ListPrompts", parent="gateways/car-1").prompts] == [prompt.name]


def test_an_identifier_of_another_home_is_not_taken_for_ones_own_device(target):
    # The operator is told, instead of two homes sharing a serial number.
    with pytest.raises(Refused) as refusal:
        target.as_(OPERATOR).call("inventory", "CreateDevice", device={
            "name": "gateways/car-1/devices/twin", "manufacturer": "acme", "model": "WL-9", "hardware_version": "1",
            "components": [{"ecu_serial": "wifi-0001", "hardware_id": "ar9271", "public_key_pem": public_pem(new_key())}]})
    assert refusal.value.code == StatusCode.ALREADY_EXISTS


def test_a_manufacturer_provisions_no_device_of_another(target):
    with pytest.raises(Refused) as refusal:
        target.as_("manufacturer/zenith").call("inventory", "CreateDevice", device={
            "name": "gateways/car-1/devices/trojan", "manufacturer": "acme", "model": "WL-9", "hardware_version": "1",
            "components": [{"ecu_serial": "trojan-0001", "hardware_id": "ar9271", "public_key_pem": public_pem(new_key())}]})
    assert refusal.value.reason == "NOT_YOUR_DEVICE"
    assert "trojan-0001" not in target.components()
