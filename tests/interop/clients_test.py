"""Clients that others wrote, as released, and our own believe what the store publishes, and refuse the same attacks."""

import copy
import hashlib
import json
import pathlib

import pytest

from attacker import in_days, key_id, load_key, new_key, signed, tuf_key
from clients import CLIENTS, Ours, PythonTuf, TufJs, served
from conftest import OPERATOR
from world import RELEASES, UNAPPROVED, WITHOUT_CONSENT

WIFI = next(release for release in RELEASES if release.id == "wifi-1.4.0")
EVIL = b"an image of an attacker" * 100


def assert_refused(outcome, client, **names) -> None:
    """`outcome` is a refusal by the name that the client has for it, `python`, `js` and `ours`; a pair is name and message."""
    expected = names[{PythonTuf.name: "python", TufJs.name: "js", Ours.name: "ours"}[client.name]]
    name, message = expected if isinstance(expected, tuple) else (expected, "")
    assert outcome.error == name and message in outcome.message, (outcome.error, outcome.message)
    assert not any(outcome.files.values())


# What was approved.


def test_every_approved_package_is_had(client, mirror):
    # FOTA-E, HOME-5, PLUS-1
    outcome = client.update(mirror.url, *(release.target_path for release in RELEASES))
    assert outcome.error == "", outcome.message
    assert outcome.files == {release.target_path: pathlib.Path(release.image).read_bytes() for release in RELEASES}


def test_what_is_approved_later_is_had_by_a_client_that_was_there_before(client, mirror, published):
    mirror.copy(published.old)
    assert client.update(mirror.url, WITHOUT_CONSENT.target_path).files == {WITHOUT_CONSENT.target_path: None}
    mirror.copy(published.new)
    [image] = client.update(mirror.url, WITHOUT_CONSENT.target_path).files.values()
    assert image == pathlib.Path(WITHOUT_CONSENT.image).read_bytes()


def test_what_is_only_proposed_is_not_to_be_had(client, mirror):
    # SC-MA
    outcome = client.update(mirror.url, UNAPPROVED.target_path)
    assert (outcome.error, outcome.files) == ("", {UNAPPROVED.target_path: None})
    digest = hashlib.sha256(pathlib.Path(UNAPPROVED.image).read_bytes()).hexdigest()
    assert not [path for path in mirror.folder.rglob("*") if digest in path.name]


# Freeze.


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_an_expired_file_is_refused(client, mirror, role):
    if role == "timestamp":
        mirror.sign_timestamp(expires=in_days(-1))
    else:
        mirror.sign_snapshot(lambda meta: None, expires=in_days(-1))
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("ExpiredMetadataError", role),
                   js="ExpiredMetadataError" if role == "timestamp" else ("RuntimeError", "snapshot.json is expired"),
                   ours=("EXPIRED_METADATA", role))


# Rollback.


def test_an_older_repository_is_refused(client, mirror, published):
    # By who has no key at all.
    assert client.update(mirror.url).error == ""
    mirror.copy(published.old)
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python="BadVersionNumberError", js="BadVersionError", ours="METADATA_ROLLBACK")


def test_a_rolled_back_snapshot_is_refused(client, mirror, published):
    # By a thief of the timestamp's key.
    assert client.update(mirror.url).error == ""
    newest = mirror.content("timestamp")["version"]
    mirror.copy(published.old)
    mirror.sign_timestamp(version=newest + 5)
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("BadVersionNumberError", "snapshot"), js="BadVersionError",
                   ours=("METADATA_ROLLBACK", "snapshot"))


def test_a_rolled_back_role_in_a_new_snapshot_is_refused(client, mirror):
    # By a thief of the keys of timestamp and snapshot.
    assert client.update(mirror.url, WIFI.target_path).error == ""

    def roll_back(meta: dict) -> None:
        meta["acme.json"]["version"] -= 1

    mirror.sign_snapshot(roll_back)
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("BadVersionNumberError", "acme"),
                   js=("RuntimeError", "of acme.json is less than current version"), ours=("METADATA_ROLLBACK", "acme"))


def test_a_snapshot_that_loses_a_role_is_refused(client, mirror):
    assert client.update(mirror.url, WIFI.target_path).error == ""
    mirror.sign_snapshot(lambda meta: meta.pop("acme.json"))
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("RepositoryError", "missing info for 'acme.json'"), 
                   js=("RuntimeError", "Missing file acme.json"), ours=("METADATA_ROLLBACK", "acme"))


# Arbitrary software.


def publish_evil(mirror, *thieves: str) -> None:
    """The next version of acme's role, with another image for a published path, signed with the keys of `thieves`."""
    content = mirror.content("acme")
    content["version"] += 1
    digest = hashlib.sha256(EVIL).hexdigest()
    content["targets"][WIFI.target_path] = {"length": len(EVIL), "hashes": {"sha256": digest}}
    mirror.write("acme", content, *map(mirror.stolen_key, thieves))
    image = mirror.folder / "targets" / WIFI.target_path
    image.with_name(f"{digest}.{image.name}").write_bytes(EVIL)
    mirror.sign_snapshot(lambda meta: meta["acme.json"].update(version=content["version"]))


@pytest.mark.parametrize("thief", ["acme", "authority"])
def test_one_signature_of_the_two_is_refused(client, mirror, thief):
    # SC-MA, FOTA-R1: by a thief of the keys of one party and of both online roles.
    publish_evil(mirror, thief)
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("UnsignedMetadataError", "1/2"), js=("RuntimeError", "acme was signed by 1/2 keys"),
                   ours="THRESHOLD_NOT_MET")


def test_with_both_signatures_it_would_have_been_believed(client, mirror):
    # What the test before this one refuses is nothing but the missing signature.
    publish_evil(mirror, "acme", "authority")
    assert client.update(mirror.url, WIFI.target_path).files == {WIFI.target_path: EVIL}


def test_one_signature_given_twice_is_refused(client, mirror):
    content = mirror.content("acme")
    content["version"] += 1
    envelope = signed(content, mirror.stolen_key("acme"))
    envelope["signatures"].append(dict(envelope["signatures"][0], keyid=key_id(mirror.stolen_key("authority"))))
    (mirror.folder / "metadata" / f"{content['version']}.acme.json").write_text(json.dumps(envelope))
    mirror.sign_snapshot(lambda meta: meta["acme.json"].update(version=content["version"]))
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("UnsignedMetadataError", "1/2"), js=("RuntimeError", "acme was signed by 1/2 keys"),
                   ours="SIGNATURE_INVALID")


def test_an_altered_role_is_refused(client, mirror):
    # By who has no key: the bytes are not those that were signed.
    path = mirror.path("acme")
    altered = json.loads(path.read_text())
    altered["signed"]["targets"][WIFI.target_path]["length"] += 1
    path.write_text(json.dumps(altered))
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("UnsignedMetadataError", "0/2"), js=("RuntimeError", "acme was signed by 0/2 keys"),
                   ours="SIGNATURE_INVALID")


def test_a_root_of_new_keys_alone_is_refused(client, mirror):
    thief = new_key()
    content = mirror.content("root")
    content["version"] += 1
    content["keys"][key_id(thief)] = tuf_key(thief)
    content["roles"]["root"] = {"keyids": [key_id(thief)], "threshold": 1}
    mirror.write("root", content, thief)
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("UnsignedMetadataError", "root"), js=("UnsignedMetadataError", "root"),
                   ours="THRESHOLD_NOT_MET")


# Targets.


def test_a_tampered_target_is_refused(client, mirror):
    path = mirror.image(WIFI.target_path)
    image = bytearray(path.read_bytes())
    image[1000] ^= 1
    path.write_bytes(image)
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("LengthOrHashMismatchError", "hash"), js=("LengthOrHashMismatchError", "hash"),
                   ours="DIGEST_MISMATCH")


@pytest.mark.parametrize("change", [1, -1], ids=["longer", "shorter"])
def test_a_target_of_the_wrong_length_is_refused(client, mirror, change):
    path = mirror.image(WIFI.target_path)
    image = path.read_bytes()
    path.write_bytes(image + b"\0" if change > 0 else image[:-1])
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python="DownloadLengthMismatchError" if change > 0 else "LengthOrHashMismatchError",
                   js="DownloadLengthMismatchError" if change > 0 else "LengthOrHashMismatchError",
                   ours="LENGTH_EXCEEDED" if change > 0 else "LENGTH_MISMATCH")


# Mix and match.


def test_a_snapshot_in_the_place_of_another_is_refused(client, mirror, published):
    old = max((published.old / "metadata").glob("*.snapshot.json"))
    # Of the length that is promised: JSON does not mind the space.
    newest = mirror.path("snapshot")
    newest.write_bytes(old.read_bytes().ljust(len(newest.read_bytes()))[:len(newest.read_bytes())])
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("LengthOrHashMismatchError", "hash"), js=("RuntimeError", "Expected hash"),
                   ours="DIGEST_MISMATCH")


def test_a_role_in_the_place_of_another_version_is_refused(client, mirror, published):
    newest = mirror.path("acme")
    newest.write_bytes((published.old / "metadata" / "1.acme.json").read_bytes())
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("BadVersionNumberError", "acme"), js=("RuntimeError", "does not match snapshot version"),
                   ours="VERSION_MISMATCH")


def test_a_missing_role_is_not_skipped(client, mirror):
    mirror.path("acme").unlink()
    outcome = client.update(mirror.url, WIFI.target_path)
    assert_refused(outcome, client, python=("DownloadHTTPError", "404"), js=("RuntimeError", "Failed to download"), ours="NOT_FOUND")


# Rotation.


def test_root_rotations_are_walked(published, tmp_path):
    """Four roots later: keys of the root, and the key of the timestamp by way of a root that has the old and the new one."""
    story, suite = published.story, published.story.suite
    root = copy.deepcopy(json.loads(published.root.read_text())["signed"])
    clients = {kind.name: kind(tmp_path / kind.name, published.root) for kind in CLIENTS}

    def publish(*names) -> None:
        root["version"] += 1
        path = story.metadata(f"{root['version']}.root.json")
        path.write_text(json.dumps(signed(root, *(load_key(suite.key(name)) for name in names))))
        suite.ctl(OPERATOR, "repository", "publish-root", path)

    def all_update(site: str, step: str) -> None:
        fresh = [kind(tmp_path / f"{kind.name}-{step}", published.root) for kind in CLIENTS]
        for client in (*clients.values(), *fresh):
            outcome = client.update(site, WIFI.target_path)
            assert outcome.error == "", (client.name, step, outcome.message)
            assert outcome.files[WIFI.target_path] == pathlib.Path(WIFI.image).read_bytes()
            assert json.loads((client.state / "root.json").read_text())["signed"]["version"] == root["version"]

    folder = tmp_path / "exported"
    published.export(folder)
    with served(folder) as site:
        all_update(site, "before")
        # One step: a key of the root is replaced.
        suite.create_key("root-op-4", "ed25519")
        old, new = load_key(suite.key("root-op-2")), load_key(suite.key("root-op-4"))
        del root["keys"][key_id(old)]
        root["keys"][key_id(new)] = tuf_key(new)
        for key_ids in (root["roles"]["root"]["keyids"], root["custom"]["parties"]["operator"]):
            key_ids[key_ids.index(key_id(old))] = key_id(new)
        publish("root-op-1", "root-op-2", "root-ma-1", "root-op-4", "root-op-3")
        assert published.export(folder)["root_version"] == 2
        all_update(site, "one")
        # Several at once.
        signers = ["root-op-1", "root-op-4", "root-ma-1"]
        publish(*signers)
        suite.create_key("timestamp-2")
        timestamp, next_timestamp = load_key(suite.key("timestamp")), load_key(suite.key("timestamp-2"))
        root["keys"][key_id(next_timestamp)] = tuf_key(next_timestamp)
        root["roles"]["timestamp"]["keyids"].append(key_id(next_timestamp))
        publish(*signers)
        store = suite.processes["package-store"]
        store.stop()
        store.command = [part.replace("timestamp.pem", "timestamp-2.pem") for part in store.command]
        store.start()
        suite.wait_ready("package-store")
        root["keys"].pop(key_id(timestamp))
        root["roles"]["timestamp"]["keyids"].remove(key_id(timestamp))
        publish(*signers)
        assert published.export(folder)["root_version"] == 5
        all_update(site, "several")
