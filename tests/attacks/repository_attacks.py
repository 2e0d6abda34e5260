"""Attacks on the image repository: by a manufacturer, by the operator, by the authority, and with stolen or old metadata."""

import base64
import copy
import hashlib
import json
import pathlib

import pytest
from grpc import StatusCode

from attacker import AUTHORITY, OPERATOR, Refused, as_json, canonical, in_days, key_id, load_key, new_key, raw_signature, signed, tuf_key
from world import RELEASES, UNAPPROVED

ACME, ZENITH = "manufacturer/acme", "manufacturer/zenith"
IMAGE = b"\x7fELF an image of an attacker" * 40


@pytest.fixture(name="keys")
def _keys(target):
    """Private keys of everyone in the ceremony, by name."""
    return lambda name: load_key(target.suite.key(name))


def published(target, name: str) -> dict:
    return json.loads(target.as_(OPERATOR).call("package-store", "GetMetadata", file_name=name).content)


def role(target, manufacturer: str) -> dict:
    """A copy of the content of the manufacturer's role as it is in force."""
    version = target.repository()["roles"][f"{manufacturer}.json"]
    return published(target, f"{version}.{manufacturer}.json")["signed"]


def next_role(target, manufacturer: str, **changes) -> dict:
    content = role(target, manufacturer)
    content.update({"version": content["version"] + 1, "expires": in_days(60)}, **changes)
    return content


def upload(target, manufacturer: str, image: bytes) -> str:
    """Stores an image by the front door; returns its digest."""
    digest = hashlib.sha256(image).hexdigest()
    caller = target.as_(f"manufacturer/{manufacturer}")
    created = caller.call("package-store", "CreateUpload", parent=f"manufacturers/{manufacturer}",
                          upload={"length_bytes": len(image), "sha256": digest})
    if created.committed_bytes < len(image):
        caller.call("package-store", "WriteUpload", name=created.name, offset=0, data=image)
    return digest


def entry(image: bytes, counter: int = 900, hardware: str = "ar9271", version: str = "9.0.0") -> dict:
    return {"length": len(image), "hashes": {"sha256": hashlib.sha256(image).hexdigest()},
            "custom": {"hardwareIds": [hardware], "releaseCounter": counter, "version": version}}


def propose(target, identity: str, manufacturer: str, envelope: dict):
    return target.as_(identity).call("package-store", "CreateProposal", parent=f"manufacturers/{manufacturer}",
                                     metadata=as_json(envelope))


def refuse_all(target, manufacturer: str) -> None:
    """The authority clears the table after an attack that was a well-formed proposal."""
    for proposal in target.as_(AUTHORITY).call("package-store", "ListProposals", parent=f"manufacturers/{manufacturer}",
                                              state="STATE_AWAITING_APPROVAL").proposals:
        target.as_(AUTHORITY).call("package-store", "RefuseProposal", name=proposal.name, reason="An attack.")


# A manufacturer in the name of another.


def test_a_manufacturer_uploads_nothing_in_anothers_name(target):
    with target.unchanged(), pytest.raises(Refused) as refusal:
        target.as_(ZENITH).call("package-store", "CreateUpload", parent="manufacturers/acme",
                                upload={"length_bytes": 4, "sha256": hashlib.sha256(b"evil").hexdigest()})
    assert refusal.value.code == StatusCode.PERMISSION_DENIED


def test_a_manufacturer_neither_writes_nor_sees_anothers_upload(target):
    digest = hashlib.sha256(b"half of it").hexdigest()
    name = target.as_(ACME).call("package-store", "CreateUpload", parent="manufacturers/acme",
                                 upload={"length_bytes": 10, "sha256": digest}).name
    for method, fields in (("WriteUpload", {"name": name, "offset": 0, "data": b"half"}), ("GetUpload", {"name": name})):
        with pytest.raises(Refused) as refusal:
            target.as_(ZENITH).call("package-store", method, **fields)
        assert refusal.value.code == StatusCode.PERMISSION_DENIED, method
    assert target.as_(ACME).call("package-store", "GetUpload", name=name).committed_bytes == 0


def test_a_manufacturer_announces_no_release_in_anothers_name(target):
    name = "manufacturers/acme/releases/evil-9"
    with pytest.raises(Refused) as refusal:
        target.as_(ZENITH).call("liaison", "CreateRelease", release={"name": name})
    assert refusal.value.code == StatusCode.PERMISSION_DENIED
    with pytest.raises(Refused) as missing:
        target.as_(OPERATOR).call("liaison", "GetRelease", name=name)
    assert missing.value.code == StatusCode.NOT_FOUND


def test_a_manufacturer_announces_no_image_for_anothers_path_in_its_own_name(target):
    theft = json.loads(target.story.release_file(UNAPPROVED).read_text())
    theft["name"] = "manufacturers/zenith/releases/theft-1"
    path = target.suite.folder / "theft.json"
    path.write_text(json.dumps(theft))
    target.story.refuse("zenith announces a path of acme",
                        lambda: target.suite.ctl(ZENITH, "release", "create", path), "PATH_NOT_ALLOWED", "RELEASE_INVALID")


def test_a_manufacturer_proposes_nothing_in_anothers_name(target, keys):
    envelope = signed(next_role(target, "acme"), keys("acme"))
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ZENITH, "acme", envelope)
    assert refusal.value.code == StatusCode.PERMISSION_DENIED


def test_a_manufacturer_proposes_no_path_of_another_in_its_own_role(target, keys):
    upload(target, "zenith", IMAGE)
    for path in ("acme/wifi/wifi-9.bin", "acme/../acme/wifi.bin", "zenith/../acme/wifi.bin", "wifi.bin", "zenith/a/b/c/d.bin",
                 "pending/acme/wifi.bin", "zenith//wifi.bin", "/zenith/wifi/wifi.bin", "ZENITH/wifi/wifi.bin", "zenith/wifi\x00/x"):
        content = next_role(target, "zenith")
        content["targets"][path] = entry(IMAGE)
        with target.unchanged(), pytest.raises(Refused) as refusal:
            propose(target, ZENITH, "zenith", signed(content, keys("zenith")))
        assert refusal.value.reason in ("PATH_NOT_ALLOWED", "METADATA_MALFORMED"), path
        assert refusal.value.code == StatusCode.INVALID_ARGUMENT, path


def test_an_image_that_only_another_manufacturer_stored_is_none_of_ones_own(target, keys):
    # Knowing a digest is not having the image.
    image = pathlib.Path(next(r for r in RELEASES if r.id == "wifi-1.4.0").image).read_bytes()
    content = next_role(target, "zenith")
    content["targets"]["zenith/settop/stolen.bin"] = entry(image, hardware="x86-settop", counter=5000)
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ZENITH, "zenith", signed(content, keys("zenith")))
    assert refusal.value.reason == "IMAGE_MISSING"
    with pytest.raises(Refused) as download:
        target.as_(ZENITH).call("package-store", "DownloadImage", sha256=hashlib.sha256(image).hexdigest())
    assert download.value.code == StatusCode.NOT_FOUND


def test_a_manufacturers_role_delegates_nothing_further(target, keys):
    accomplice = new_key()
    content = next_role(target, "acme", delegations={
        "keys": {key_id(accomplice): tuf_key(accomplice)},
        "roles": [{"name": "mallory", "keyids": [key_id(accomplice)], "threshold": 1, "paths": ["acme/*/*"], "terminating": False}]})
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", signed(content, keys("acme")))
    assert refusal.value.code == StatusCode.INVALID_ARGUMENT


# Old, skipped and altered metadata.


def test_an_older_version_of_a_role_is_not_taken_again(target, keys):
    old = published(target, "1.acme.json")
    old["signatures"] = [s for s in old["signatures"] if s["keyid"] == key_id(keys("acme"))]
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", old)
    assert refusal.value.reason == "VERSION_NOT_NEXT"


def test_a_role_skips_no_version(target, keys):
    content = next_role(target, "acme")
    content["version"] += 1
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", signed(content, keys("acme")))
    assert refusal.value.reason == "VERSION_NOT_NEXT"


def test_a_role_that_is_expired_is_not_proposed(target, keys):
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", signed(next_role(target, "acme", expires=in_days(-1)), keys("acme")))
    assert refusal.value.reason == "EXPIRED_METADATA"


def test_a_release_counter_never_falls(target, keys):
    # Image rollback: old firmware under a new name and with new signatures.
    upload(target, "acme", IMAGE)
    content = next_role(target, "acme")
    content["targets"]["acme/wifi/wifi-0.9.0.bin"] = entry(IMAGE, counter=9, version="9.9.9")
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", signed(content, keys("acme")))
    assert refusal.value.reason == "RELEASE_COUNTER_FELL"


def test_a_published_path_keeps_its_bytes(target, keys):
    upload(target, "acme", IMAGE)
    content = next_role(target, "acme")
    path = next(iter(sorted(content["targets"])))
    content["targets"][path] = entry(IMAGE, counter=9000)
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", signed(content, keys("acme")))
    assert refusal.value.reason == "TARGET_CHANGED"


def test_a_signature_over_other_bytes_is_refused(target, keys):
    envelope = signed(next_role(target, "acme"), keys("acme"))
    envelope["signed"]["expires"] = in_days(89)
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", envelope)
    assert refusal.value.reason == "SIGNATURE_INVALID"


def test_one_signature_given_twice_does_not_count_twice(target, keys):
    envelope = signed(next_role(target, "acme"), keys("acme"), keys("acme"))
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", envelope)
    assert refusal.value.code == StatusCode.INVALID_ARGUMENT


# Roots and delegations.


def root(target) -> dict:
    return published(target, "1.root.json")["signed"]


def publish_root(target, envelope: dict):
    return target.as_(OPERATOR).call("package-store", "PublishRoot", metadata=as_json(envelope))


ROOT_KEYS = ("root-op-1", "root-op-2", "root-op-3", "root-ma-1", "root-ma-2")


@pytest.mark.parametrize("version", [1, 3, 2**31, -1, 0])
def test_a_root_is_exactly_the_next_one(target, keys, version):
    content = dict(root(target), version=version, expires=in_days(300))
    with target.unchanged(), pytest.raises(Refused) as refusal:
        publish_root(target, signed(content, *map(keys, ROOT_KEYS)))
    assert refusal.value.reason in ("VERSION_NOT_NEXT", "METADATA_MALFORMED")
    with pytest.raises(Refused) as missing:
        published(target, "2.root.json")
    assert missing.value.code == StatusCode.NOT_FOUND


def test_a_root_signed_by_too_few_is_refused(target, keys):
    content = dict(root(target), version=2, expires=in_days(300))
    stranger = new_key()
    for envelope in (signed(content, keys("root-op-1"), keys("root-op-2")),
                     signed(content, keys("root-op-1"), keys("root-op-2"), stranger),
                     signed(content, keys("root-op-1"), keys("root-op-1"), keys("root-op-1")),
                     signed(content, keys("root-op-1"), keys("root-op-2"), keys("targets-op-1"))):
        with target.unchanged(), pytest.raises(Refused) as refusal:
            publish_root(target, envelope)
        assert refusal.value.code == StatusCode.INVALID_ARGUMENT
        assert refusal.value.reason in ("THRESHOLD_NOT_MET", "METADATA_MALFORMED", "SIGNATURE_INVALID", "DUPLICATE_KEY")


def test_a_root_of_new_keys_alone_does_not_take_over(target, keys):
    # Signed by itself to its threshold, by nobody of the root before.
    thieves = [new_key() for _ in range(3)]
    content = copy.deepcopy(root(target))
    content.update(version=2, expires=in_days(300))
    content["keys"].update({key_id(key): tuf_key(key) for key in thieves})
    content["roles"]["root"] = {"keyids": [key_id(key) for key in thieves], "threshold": 3}
    with target.unchanged(), pytest.raises(Refused) as refusal:
        publish_root(target, signed(content, *thieves))
    assert refusal.value.reason == "THRESHOLD_NOT_MET"


def test_one_public_key_under_two_key_ids_is_refused(target, keys):
    content = copy.deepcopy(root(target))
    content.update(version=2, expires=in_days(300))
    twin = dict(tuf_key(keys("root-op-1")), keyid_hash_algorithms=["sha256"])
    alias = hashlib.sha256(canonical(twin)).hexdigest()
    content["keys"][alias] = twin
    content["roles"]["root"]["keyids"].append(alias)
    with target.unchanged(), pytest.raises(Refused) as refusal:
        publish_root(target, signed(content, *map(keys, ROOT_KEYS)))
    assert refusal.value.reason in ("DUPLICATE_KEY", "METADATA_MALFORMED")


def test_the_director_takes_no_root_of_strangers(target, keys):
    director = json.loads(target.story.metadata("director-1.root.json").read_text())["signed"]
    stranger = new_key()
    forged = copy.deepcopy(director)
    forged.update(version=2, expires=in_days(300))
    for envelope in (signed(forged, stranger), signed(dict(forged, version=3), keys("director-root")),
                     signed(root(target), *map(keys, ROOT_KEYS))):
        with pytest.raises(Refused) as refusal:
            target.as_(OPERATOR).call("rollout", "PublishDirectorRoot", metadata=as_json(envelope))
        assert refusal.value.reason in ("THRESHOLD_NOT_MET", "VERSION_NOT_NEXT", "METADATA_MALFORMED", "ONLINE_KEY_MISSING")
    with pytest.raises(Refused) as missing:
        target.as_("gateway/home-1").call("rollout", "GetDirectorMetadata", file_name="2.root.json")
    assert missing.value.code == StatusCode.NOT_FOUND


def top_targets(target) -> dict:
    content = published(target, f"{target.repository()['roles']['targets.json']}.targets.json")["signed"]
    content.update(version=content["version"] + 1, expires=in_days(100))
    return content


def publish_targets(target, content: dict, *keys):
    return target.as_(OPERATOR).call("package-store", "PublishTargets", metadata=as_json(signed(content, *keys)))


def delegate(content: dict, *keys, name: str = "mallory", parties: dict | None = None, **changes) -> dict:
    """Adds a role; its first key is its manufacturer's, unless `parties` says something else."""
    declared = content["custom"]["parties"]
    for party, owned in (parties if parties is not None else {name: keys[:1]}).items():
        declared[party] = declared.get(party, []) + [key_id(key) for key in owned]
    content["delegations"]["keys"].update({key_id(key): tuf_key(key) for key in keys})
    content["delegations"]["roles"].append(dict({
        "name": name, "keyids": [key_id(key) for key in keys], "threshold": 2, "paths": [f"{name}/*", f"{name}/*/*"],
        "terminating": True}, **changes))
    return content


@pytest.mark.parametrize("what", ["one key twice", "threshold of one", "three keys", "all paths", "of acme", "not terminating",
                                  "nobody's keys", "both its own", "the operator's for the authority", "of another manufacturer"])
def test_a_delegation_that_does_not_need_two_parties_is_refused(target, keys, what):
    key, second, authority = new_key(), new_key(), keys("authority")
    content = {
        "one key twice": lambda c: delegate(c, key, key),
        "threshold of one": lambda c: delegate(c, key, authority, threshold=1),
        "three keys": lambda c: delegate(c, key, new_key(), authority),
        "all paths": lambda c: delegate(c, key, authority, paths=["*/*"]),
        "of acme": lambda c: delegate(c, key, authority, paths=["mallory/*", "acme/*/*"]),
        "not terminating": lambda c: delegate(c, key, authority, terminating=False),
        "nobody's keys": lambda c: delegate(c, key, new_key(), parties={}),
        "both its own": lambda c: delegate(c, key, second, parties={"mallory": [key, second]}),
        "the operator's for the authority": lambda c: delegate(c, key, keys("root-op-3"),
                                                               parties={"mallory": [key], "authority": [keys("root-op-3")]}),
        "of another manufacturer": lambda c: delegate(c, keys("acme"), authority, parties={}),
    }[what](top_targets(target))
    with target.unchanged(), pytest.raises(Refused) as refusal:
        publish_targets(target, content, keys("targets-op-1"), keys("targets-ma-1"))
    assert refusal.value.reason in ("PARTIES_NOT_DISTINCT", "PARTIES_NOT_DECLARED", "PATH_NOT_ALLOWED", "METADATA_MALFORMED",
                                    "DUPLICATE_KEY")


def test_the_operator_does_not_put_itself_in_the_authoritys_place(target, keys):
    # All keys of the operator's: enough for any client, in the targets as in the root.
    own = new_key()
    content = top_targets(target)
    [authority_id] = content["custom"]["parties"]["authority"]
    content["delegations"]["keys"].pop(authority_id)
    content["delegations"]["keys"][key_id(own)] = tuf_key(own)
    content["custom"]["parties"]["authority"] = [key_id(own)]
    for role_ in content["delegations"]["roles"]:
        role_["keyids"] = [key_id(own) if id_ == authority_id else id_ for id_ in role_["keyids"]]
    with target.unchanged(), pytest.raises(Refused) as refusal:
        publish_targets(target, content, keys("targets-op-1"), keys("targets-op-2"))
    assert refusal.value.reason == "THRESHOLD_NOT_MET"

    content = dict(root(target), version=2, expires=in_days(300))
    with target.unchanged(), pytest.raises(Refused) as refusal:
        publish_root(target, signed(content, keys("root-op-1"), keys("root-op-2"), keys("root-op-3")))
    assert refusal.value.reason == "THRESHOLD_NOT_MET"
    assert "authority" in refusal.value.message


def test_targets_signed_by_too_few_or_of_another_version_are_refused(target, keys):
    for version, signers in ((None, ["targets-op-1"]), (None, ["targets-op-1", "root-op-1"]), (1, ["targets-op-1", "targets-op-2"]),
                             (9, ["targets-op-1", "targets-op-2"])):
        content = top_targets(target)
        content["version"] = version or content["version"]
        with target.unchanged(), pytest.raises(Refused) as refusal:
            publish_targets(target, content, *map(keys, signers))
        assert refusal.value.reason in ("THRESHOLD_NOT_MET", "VERSION_NOT_NEXT", "SIGNATURE_INVALID", "UNKNOWN_KEY")


def test_the_top_level_targets_list_no_image(target, keys):
    content = top_targets(target)
    content["targets"] = {"acme/wifi/wifi-9.bin": entry(IMAGE)}
    with target.unchanged(), pytest.raises(Refused) as refusal:
        publish_targets(target, content, keys("targets-op-1"), keys("targets-ma-1"))
    assert refusal.value.reason == "METADATA_MALFORMED"


# The authority.


@pytest.fixture(name="proposal")
def _proposal(target, keys):
    """A proposal of acme that the authority has to decide on; refused at the end if it was not."""
    upload(target, "acme", IMAGE)
    content = next_role(target, "acme")
    content["targets"]["acme/wifi/wifi-9.0.0.bin"] = entry(IMAGE)
    yield propose(target, ACME, "acme", signed(content, keys("acme")))
    refuse_all(target, "acme")


def statement(target, proposal, key, **changes) -> bytes:
    """The approval statement for the proposal's target, or for something else."""
    [changed] = proposal.changed_targets
    predicate = {"targetPath": changed.target_path, "roleVersion": proposal.role_version,
                 "hardwareIds": list(changed.hardware_ids), "releaseCounter": changed.release_counter,
                 "validFrom": in_days(0), "validUntil": in_days(300)}
    digest = changes.pop("sha256", changed.sha256)
    predicate.update(changes)
    payload = canonical({"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://countersign.dev/approval/v1",
                         "subject": [{"name": predicate["targetPath"], "digest": {"sha256": digest}}], "predicate": predicate})
    kind = "application/vnd.in-toto+json"
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    return json.dumps({"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": [
        {"keyid": key_id(key), "sig": base64.b64encode(raw_signature(key, encoded)).decode()}]}).encode()


def approve(target, proposal, key, statements: list, identity: str = AUTHORITY, content: bytes = b""):
    data = content or canonical(json.loads(proposal.metadata)["signed"])
    return target.as_(identity).call("package-store", "ApproveProposal", name=proposal.name, approval_statements=statements,
                                     signatures=[{"key_id": key_id(key), "signature": raw_signature(key, data).hex()}])


def test_a_manufacturer_does_not_approve_its_own_proposal(target, keys, proposal):
    with target.unchanged(), pytest.raises(Refused) as role_:
        approve(target, proposal, keys("acme"), [statement(target, proposal, keys("acme"))], identity=ACME)
    assert role_.value.reason == "ROLE_NOT_ALLOWED"
    # Nor does its key, in the hands of somebody with the authority's certificate.
    with target.unchanged(), pytest.raises(Refused) as refusal:
        approve(target, proposal, keys("acme"), [statement(target, proposal, keys("acme"))])
    assert refusal.value.reason == "PARTIES_NOT_DISTINCT"


def test_the_operator_does_not_approve(target, keys, proposal):
    with target.unchanged(), pytest.raises(Refused) as refusal:
        approve(target, proposal, keys("authority"), [statement(target, proposal, keys("authority"))], identity=OPERATOR)
    assert refusal.value.reason == "ROLE_NOT_ALLOWED"


def test_a_key_that_is_not_the_authoritys_approves_nothing(target, keys, proposal):
    for key in (new_key(), keys("zenith"), keys("targets-ma-1"), keys("root-ma-1")):
        with target.unchanged(), pytest.raises(Refused) as refusal:
            approve(target, proposal, key, [statement(target, proposal, key)])
        assert refusal.value.reason == "UNKNOWN_KEY"


def test_the_authoritys_signature_over_other_bytes_approves_nothing(target, keys, proposal):
    with target.unchanged(), pytest.raises(Refused) as refusal:
        approve(target, proposal, keys("authority"), [statement(target, proposal, keys("authority"))],
                content=canonical(role(target, "acme")))
    assert refusal.value.reason == "SIGNATURE_INVALID"


@pytest.mark.parametrize("change", [{"sha256": "ab" * 32}, {"targetPath": "acme/wifi/other.bin"}, {"releaseCounter": 901},
                                    {"roleVersion": 1}, {"hardwareIds": ["ar9271", "x86-settop"]}, {"validUntil": in_days(-1)}],
                         ids=lambda change: next(iter(change)))
def test_a_statement_about_anything_else_approves_nothing(target, keys, proposal, change):
    with target.unchanged(), pytest.raises(Refused) as refusal:
        approve(target, proposal, keys("authority"), [statement(target, proposal, keys("authority"), **change)])
    assert refusal.value.reason == "STATEMENT_INVALID"


def test_a_statement_that_is_missing_doubled_or_of_another_key_approves_nothing(target, keys, proposal):
    good = statement(target, proposal, keys("authority"))
    for statements in ([], [good, good], [statement(target, proposal, keys("acme"))], [b"{}"], [b"\x00"]):
        with target.unchanged(), pytest.raises(Refused) as refusal:
            approve(target, proposal, keys("authority"), statements)
        assert refusal.value.reason == "STATEMENT_INVALID"


def test_a_proposal_signed_by_both_parties_is_not_published_without_the_authority(target, keys):
    # The authority's key was stolen, its certificate was not.
    upload(target, "acme", IMAGE)
    content = next_role(target, "acme")
    content["targets"]["acme/wifi/wifi-9.0.0.bin"] = entry(IMAGE)
    with target.unchanged(), pytest.raises(Refused) as refusal:
        propose(target, ACME, "acme", signed(content, keys("acme"), keys("authority")))
    assert refusal.value.reason == "PARTIES_NOT_DISTINCT"


def test_what_was_decided_is_not_decided_again(target, keys, proposal):
    target.as_(AUTHORITY).call("package-store", "RefuseProposal", name=proposal.name, reason="No.")
    with target.unchanged(), pytest.raises(Refused) as refusal:
        approve(target, proposal, keys("authority"), [statement(target, proposal, keys("authority"))])
    assert refusal.value.reason == "WRONG_STATE"


def test_the_authority_approving_twice_publishes_once(target, keys):
    # SC-MA: at the end of this, acme's role is one version higher for good.
    upload(target, "acme", IMAGE)
    content = next_role(target, "acme")
    content["targets"]["acme/wifi/wifi-9.0.0.bin"] = entry(IMAGE)
    proposal = propose(target, ACME, "acme", signed(content, keys("acme")))
    approve(target, proposal, keys("authority"), [statement(target, proposal, keys("authority"))])
    assert target.repository()["roles"]["acme.json"] == proposal.role_version
    with target.unchanged(), pytest.raises(Refused) as refusal:
        approve(target, proposal, keys("authority"), [statement(target, proposal, keys("authority"))])
    assert refusal.value.reason == "WRONG_STATE"


def test_unapproved_bytes_are_nobodys_to_download(target, keys, proposal):
    image = b"another image" * 99
    digest = upload(target, "acme", image)
    for identity in ("gateway/home-1", ZENITH):
        with pytest.raises(Refused) as refusal:
            target.as_(identity).call("package-store", "DownloadImage", sha256=digest)
        assert refusal.value.code in (StatusCode.NOT_FOUND, StatusCode.PERMISSION_DENIED)
    with pytest.raises(Refused) as role_:
        target.as_("gateway/home-1").call("package-store", "GetProposal", name=proposal.name)
    assert role_.value.reason == "ROLE_NOT_ALLOWED"
    with pytest.raises(Refused) as other:
        target.as_(ZENITH).call("package-store", "GetProposal", name=proposal.name)
    assert other.value.code == StatusCode.PERMISSION_DENIED
