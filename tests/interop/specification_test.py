"""Our client against the detailed client workflow of the TUF specification (1.0.34, section 5), one test for each step of it;
and against repositories that python-tuf made."""

import hashlib
import json
import os
import pathlib
import subprocess

import pytest

from attacker import canonical, in_days
from clients import Ours, installed, served
from tuf_repository import Repository, envelope, key_id, new_key, sign

PATH, IMAGE = "lamp/firmware.bin", b"an image" * 1000
ONLINE = ("timestamp", "snapshot")


class Case:
    """A repository with one target, and a client that trusts its first root."""

    def __init__(self, folder: pathlib.Path, site: str) -> None:
        self.repository = Repository(folder / "site")
        self.repository.add_target("targets", PATH, IMAGE)
        self.repository.publish()
        self.site = site
        self.client = Ours(folder / "client", self.repository.folder / "metadata" / "1.root.json")

    def refresh(self) -> str:
        """The reason for which the client refuses, or nothing."""
        return self.client.update(self.site).error

    def download(self, path: str = PATH):
        outcome = self.client.update(self.site, path)
        return outcome.error or outcome.files[path]

    def trusted(self, role: str) -> int:
        """The version that the client has stored; 0 if none."""
        path = self.client.state / f"{role}.json"
        return json.loads(path.read_text())["signed"]["version"] if path.exists() else 0


@pytest.fixture(name="case")
def _case(tmp_path):
    (tmp_path / "site").mkdir()
    with served(tmp_path / "site") as site:
        (tmp_path / "site").rmdir()
        yield Case(tmp_path, site)


# 5.2 Load trusted root metadata.


def test_5_2_the_expiry_of_the_root_that_was_brought_does_not_matter(case):
    case.repository.root["expires"] = in_days(-1)
    case.repository.publish_root()
    case.repository.next_root(expires=in_days(30))
    assert case.refresh() == ""


# 5.3 Update the root role.


def test_5_3_3_all_roots_up_to_the_newest_are_walked(case):
    for _ in range(5):
        before = case.repository.keys["root"]
        case.repository.set_keys("root", [new_key()])
        case.repository.next_root(before)
    assert case.refresh() == ""
    assert case.trusted("root") == 6


def test_5_3_3_no_more_than_w_bytes_of_a_root_are_read(case):
    (case.repository.folder / "metadata" / "2.root.json").write_bytes(b" " * (512 << 10) + b" ")
    assert case.refresh() == "LENGTH_EXCEEDED"


@pytest.mark.parametrize("which", ["before", "itself"])
def test_5_3_4_a_root_needs_the_threshold_of_the_one_before_and_its_own(case, which):
    repository, before = case.repository, case.repository.keys["root"]
    after = [new_key(), new_key()]
    repository.set_keys("root", after, threshold=2)
    repository.root["version"] += 1
    repository.publish_root(after if which == "before" else [*before, after[0]])
    assert case.refresh() == "THRESHOLD_NOT_MET"
    assert case.trusted("root") == 1
    # The next update begins with version N again.
    repository.publish_root([*before, *after])
    assert case.refresh() == ""


def test_5_3_4_a_key_counts_once(case):
    repository = case.repository
    keys = [new_key(), new_key()]
    repository.set_keys("timestamp", keys, threshold=2)
    repository.next_root()
    document = json.loads(envelope(repository.signed["timestamp"], keys[:1]))
    document["signatures"] *= 2
    repository.path("timestamp").write_text(json.dumps(document))
    # Two signatures with one key id are no envelope at all (4.1).
    assert case.refresh() == "MALFORMED_METADATA"
    assert case.trusted("timestamp") == 0


@pytest.mark.parametrize("version, reason", [(1, "METADATA_ROLLBACK"), (3, "ROOT_VERSION_SKIPPED")])
def test_5_3_5_the_next_root_has_exactly_the_next_version(case, version, reason):
    repository = case.repository
    repository.root["version"] = version
    (repository.folder / "metadata" / "2.root.json").write_bytes(envelope(repository.root, repository.keys["root"]))
    assert case.refresh() == reason
    assert case.trusted("root") == 1


def test_5_3_6_an_expired_root_on_the_way_does_not_matter(case):
    case.repository.next_root(expires=in_days(-1))
    case.repository.next_root(expires=in_days(30))
    assert case.refresh() == ""


def test_5_3_8_each_root_is_kept_even_if_the_next_one_is_wrong(case):
    case.repository.next_root()
    case.repository.root["version"] += 1
    case.repository.publish_root([new_key()])
    assert case.refresh() == "THRESHOLD_NOT_MET"
    assert case.trusted("root") == 2
    assert (case.client.state / "root.json").read_bytes() == (case.repository.folder / "metadata" / "2.root.json").read_bytes()


def test_5_3_10_an_expired_newest_root_is_refused(case):
    case.repository.next_root(expires=in_days(-1))
    assert case.refresh() == "EXPIRED_METADATA"


@pytest.mark.parametrize("role", ONLINE)
def test_5_3_11_rotated_keys_undo_a_fast_forward(case, role):
    repository = case.repository
    repository.signed[role]["version"] = 2**31 - 1
    repository.publish()
    assert case.refresh() == ""
    repository.signed[role]["version"] = 2
    repository.publish()
    assert case.refresh() == "METADATA_ROLLBACK"
    repository.set_keys(role, [new_key()])
    repository.next_root()
    repository.publish()
    assert case.refresh() == ""
    assert case.trusted(role) == 2


def test_5_3_12_without_consistent_snapshots_names_have_no_prefix(tmp_path):
    repository = Repository(tmp_path / "site", consistent=False)
    repository.delegate("targets", "lamps", "lamp/*")
    repository.add_target("lamps", PATH, IMAGE)
    repository.publish()
    client = Ours(tmp_path / "client", repository.path("root"))
    assert sorted(path.name for path in repository.path("root").parent.iterdir()) == [
        "1.root.json", "lamps.json", "snapshot.json", "targets.json", "timestamp.json"]
    with served(repository.folder) as site:
        assert client.update(site, PATH).files == {PATH: IMAGE}


def test_5_3_12_the_newest_root_decides_on_consistent_snapshots(case):
    repository = case.repository
    for path in (repository.path("targets"), repository.path("snapshot")):
        path.unlink()
    repository.next_root(consistent_snapshot=False)
    repository.publish_next()
    assert case.refresh() == ""


# 5.4 Update the timestamp role.


def test_5_4_1_no_more_than_x_bytes_of_a_timestamp_are_read(case):
    path = case.repository.path("timestamp")
    path.write_bytes(path.read_bytes() + b" " * (16 << 10))
    assert case.refresh() == "LENGTH_EXCEEDED"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_5_4_2_5_5_3_5_6_3_a_role_needs_the_threshold_of_its_keys_in_the_root(case, role):
    repository = case.repository
    keys = [new_key(), new_key()]
    repository.set_keys(role, keys, threshold=2)
    repository.next_root()
    repository.keys[role] = keys[:1]
    repository.publish_next()
    assert case.refresh() == "THRESHOLD_NOT_MET"
    assert case.trusted(role) == 0
    repository.keys[role] = keys
    repository.publish_next()
    assert case.refresh() == ""


def test_5_4_2_signatures_of_a_role_are_not_those_of_another(case):
    case.repository.write("timestamp", case.repository.keys["snapshot"])
    assert case.refresh() == "THRESHOLD_NOT_MET"


def test_5_4_3_1_an_older_timestamp_is_refused(case):
    old = case.repository.path("timestamp").read_bytes()
    case.repository.publish("timestamp")
    assert case.refresh() == ""
    case.repository.path("timestamp").write_bytes(old)
    assert case.refresh() == "METADATA_ROLLBACK"
    assert case.trusted("timestamp") == 2


def test_5_4_3_1_another_timestamp_of_the_same_version_is_discarded_without_an_error(case):
    assert case.refresh() == ""
    kept = (case.client.state / "timestamp.json").read_bytes()
    case.repository.publish("snapshot")
    assert case.refresh() == ""
    assert (case.client.state / "timestamp.json").read_bytes() == kept
    assert case.trusted("snapshot") == 1


def test_5_4_3_2_a_timestamp_with_an_older_snapshot_is_refused(case):
    old = case.repository.signed["timestamp"]["meta"]
    case.repository.publish_next()
    assert case.refresh() == ""
    case.repository.signed["timestamp"].update(version=3, meta=old)
    case.repository.write("timestamp")
    assert case.refresh() == "METADATA_ROLLBACK"
    assert case.trusted("timestamp") == 2


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_5_4_4_5_5_6_5_6_5_an_expired_role_is_refused_and_not_kept(case, role):
    assert case.refresh() == ""
    case.repository.signed[role]["expires"] = in_days(-1)
    case.repository.publish_next()
    assert case.refresh() == "EXPIRED_METADATA"
    assert case.trusted(role) == 1


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_5_3_8_5_4_5_5_5_7_5_6_6_a_role_is_kept_byte_for_byte(case, role):
    assert case.refresh() == ""
    assert (case.client.state / f"{role}.json").read_bytes() == case.repository.path(role).read_bytes()


# 5.5 Update the snapshot role, and 5.6 Update the targets role, where they are alike.


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_5_5_1_5_6_1_no_more_than_the_promised_bytes_are_read(case, role):
    case.repository.hashes = True
    case.repository.publish_next()
    path = case.repository.path(role)
    path.write_bytes(path.read_bytes() + b" ")
    assert case.refresh() == "LENGTH_EXCEEDED"
    assert case.trusted(role) == 0


@pytest.mark.parametrize("role, bound", [("snapshot", 2 << 20), ("targets", 5 << 20)])
def test_5_5_1_5_6_1_without_a_promised_length_there_is_a_bound_all_the_same(case, role, bound):
    repository = case.repository
    if role == "snapshot":
        repository.signed["timestamp"]["meta"]["snapshot.json"] = {"version": 1}
        repository.write("timestamp")
    path = repository.path(role)
    path.write_bytes(path.read_bytes().ljust(bound + 1))
    assert case.refresh() == "LENGTH_EXCEEDED"


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_5_5_2_5_6_2_the_bytes_are_those_whose_hash_is_promised(case, role):
    case.repository.hashes = True
    case.repository.publish_next()
    path = case.repository.path(role)
    # Signed by who must sign, of the right length: the hash alone tells.
    case.repository.signed[role]["expires"] = in_days(29)
    path.write_bytes(envelope(case.repository.signed[role], case.repository.keys[role]))
    assert case.refresh() == "DIGEST_MISMATCH"
    assert case.trusted(role) == 0


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_5_5_4_5_6_4_the_version_is_the_one_that_is_promised(case, role):
    repository = case.repository
    repository.publish_next()
    repository.signed[role]["version"] = 1
    data = envelope(repository.signed[role], repository.keys[role])
    (repository.folder / "metadata" / f"2.{role}.json").write_bytes(data)
    if role == "snapshot":
        # Promised with its hash, and with another version than it has.
        repository.signed["timestamp"]["meta"]["snapshot.json"] = {"version": 2, "length": len(data), "hashes": {
            "sha256": hashlib.sha256(data).hexdigest()}}
        repository.write("timestamp")
    assert case.refresh() == "VERSION_MISMATCH"
    assert case.trusted(role) == 0


@pytest.mark.parametrize("role", ["targets", "lamps"])
@pytest.mark.parametrize("change", ["back", "lost"])
def test_5_5_5_no_role_goes_back_and_none_is_lost(case, role, change):
    repository = case.repository
    repository.delegate("targets", "lamps", "lamp/*")
    repository.publish_next()
    repository.publish_next()
    assert case.refresh() == ""
    repository.publish("snapshot", "timestamp")
    meta = repository.signed["snapshot"]["meta"]
    if change == "back":
        meta[f"{role}.json"]["version"] -= 1
    else:
        del meta[f"{role}.json"]
    repository.write("snapshot")
    repository.write_timestamp()
    # A snapshot without targets.json is none at all.
    assert case.refresh() == ("MALFORMED_METADATA" if (role, change) == ("targets", "lost") else "METADATA_ROLLBACK")
    assert case.trusted("snapshot") == 3


# 5.6.7 The search for a target.


def test_5_6_7_the_search_is_depth_first_in_order_of_appearance(case):
    repository = case.repository
    repository.delegate("targets", "a")
    repository.delegate("targets", "b")
    repository.delegate("a", "c")
    repository.add_target("b", "x/1", b"of b")
    repository.add_target("c", "x/1", b"of c")
    repository.add_target("b", "x/2", b"of b")
    repository.publish_next()
    assert case.download("x/1") == b"of c"
    assert case.download("x/2") == b"of b"


def test_5_6_7_what_a_role_says_itself_comes_before_its_delegations(case):
    repository = case.repository
    repository.delegate("targets", "a")
    repository.add_target("a", PATH, b"of a")
    repository.publish_next()
    assert case.download() == IMAGE


def test_5_6_7_1_a_role_is_visited_once(case):
    repository = case.repository
    repository.delegate("targets", "a")
    repository.delegate("a", "b")
    repository.delegate("b", "a")
    repository.delegate("b", "b")
    repository.delegate("targets", "c")
    repository.add_target("c", "x/1", b"of c")
    repository.publish_next()
    assert case.download("x/1") == b"of c"
    assert case.download("x/none") is None


def test_5_6_7_1_no_more_than_so_many_roles_are_visited(case):
    repository = case.repository
    for number in range(33):
        repository.delegate("targets", f"role-{number}")
    repository.add_target("role-31", "x/1", b"image")
    repository.add_target("role-32", "x/2", b"image")
    repository.publish_next()
    assert case.download("x/1") == b"image"
    assert case.download("x/2") == "LIMIT_EXCEEDED"


def test_5_6_7_2_1_a_terminating_delegation_ends_the_search(case):
    repository = case.repository
    repository.delegate("targets", "a", "x/*", terminating=True)
    repository.delegate("targets", "b")
    repository.add_target("b", "x/1", b"of b")
    repository.add_target("b", "y/1", b"of b")
    repository.publish_next()
    assert case.download("x/1") is None
    assert case.download("y/1") == b"of b"


def test_5_6_7_a_role_speaks_only_for_paths_that_the_whole_chain_was_trusted_with(case):
    repository = case.repository
    repository.delegate("targets", "a", "x/*")
    repository.delegate("a", "b", "*/*")
    for path in ("x/1", "y/1"):
        repository.add_target("b", path, b"of b")
    repository.add_target("a", "y/2", b"of a")
    repository.publish_next()
    assert case.download("x/1") == b"of b"
    assert case.download("y/1") is None
    assert case.download("y/2") is None


def test_4_5_a_wildcard_does_not_match_a_separator(case):
    repository = case.repository
    repository.delegate("targets", "a", "x/*.tgz", "foo-version-?.tgz")
    for path in ("x/1.tgz", "x/y/1.tgz", "foo-version-2.tgz", "foo-version-alpha.tgz", "x/1.txt"):
        repository.add_target("a", path, b"image")
    repository.publish_next()
    assert {path: case.download(path) for path in repository.signed["a"]["targets"]} == {
        "x/1.tgz": b"image", "x/y/1.tgz": None, "foo-version-2.tgz": b"image", "foo-version-alpha.tgz": None, "x/1.txt": None}


@pytest.mark.parametrize("fault, reason", [("missing", "NOT_FOUND"), ("unsigned", "SIGNATURE_INVALID"),
                                           ("unlisted", "ROLE_NOT_PUBLISHED"), ("expired", "EXPIRED_METADATA")])
def test_5_6_7_a_role_that_cannot_be_had_ends_the_search(case, fault, reason):
    # A role further on has the target: whoever keeps the first one away must not choose the second.
    repository = case.repository
    repository.delegate("targets", "a")
    repository.delegate("targets", "b")
    repository.add_target("b", "x/1", b"of b")
    if fault == "expired":
        repository.signed["a"]["expires"] = in_days(-1)
    repository.publish_next()
    if fault == "missing":
        repository.path("a").unlink()
    elif fault == "unsigned":
        document = json.loads(repository.path("a").read_text())
        document["signatures"][0]["sig"] = "00" * 64
        repository.path("a").write_text(json.dumps(document))
    elif fault == "unlisted":
        del repository.signed["snapshot"]["meta"]["a.json"]
        repository.write("snapshot")
        repository.write_timestamp()
    assert case.download("x/1") == reason


# 5.7 Fetch target.


def test_5_7_2_a_target_that_nobody_vouches_for_is_not_fetched(case):
    (case.repository.folder / "targets" / "lamp" / "other.bin").write_bytes(b"image")
    assert case.download("lamp/other.bin") is None


@pytest.mark.parametrize("change, reason", [
    (lambda image: image + b"x", "LENGTH_EXCEEDED"), (lambda image: image[:-1], "LENGTH_MISMATCH"),
    (lambda image: b"x" + image[1:], "DIGEST_MISMATCH"), (None, "NOT_FOUND")], ids=["longer", "shorter", "other", "missing"])
def test_5_7_3_the_target_is_the_one_that_was_promised(case, change, reason):
    path = case.repository.image(PATH, hashlib.sha256(IMAGE).hexdigest())
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(IMAGE))
    assert case.download() == reason
    assert not [file for file in case.client.out.rglob("*") if file.is_file()]


def test_5_7_3_the_target_is_written_under_its_own_name(case):
    assert case.download() == IMAGE
    assert (case.client.out / PATH).read_bytes() == IMAGE


# 4.2 Keys.


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_4_2_every_kind_of_key_of_the_specification_is_known(tmp_path, kind):
    repository = Repository(tmp_path / "site", kind)
    repository.add_target("targets", PATH, IMAGE)
    repository.publish()
    with served(repository.folder) as site:
        assert Ours(tmp_path / "client", repository.path("root")).update(site, PATH).files == {PATH: IMAGE}


def test_4_3_a_key_id_that_is_not_the_digest_of_its_key_is_refused(case):
    repository = case.repository
    key = new_key()
    repository.set_keys("timestamp", [key])
    description = repository.root["keys"].pop(key_id(key))
    repository.root["keys"]["ab" * 32] = description
    repository.root["roles"]["timestamp"]["keyids"] = ["ab" * 32]
    repository.next_root()
    assert case.refresh() == "KEY_ID_MISMATCH"


def test_4_2_one_key_under_two_ids_is_one_key(case):
    # A further field in the key's object makes another id of the same key.
    repository = case.repository
    [key] = repository.keys["timestamp"]
    description = dict(repository.root["keys"][key_id(key)], keyid_hash_algorithms=["sha256"])
    alias = hashlib.sha256(canonical(description)).hexdigest()
    repository.root["keys"][alias] = description
    repository.root["roles"]["timestamp"] = {"keyids": [key_id(key), alias], "threshold": 2}
    repository.next_root()
    content = repository.signed["timestamp"]
    document = json.loads(envelope(content, [key]))
    document["signatures"].append({"keyid": alias, "sig": sign(key, canonical(content)).hex()})
    repository.path("timestamp").write_text(json.dumps(document))
    assert case.refresh() == "DUPLICATE_KEY"


# Repositories that python-tuf made.


def pytuf_source() -> pathlib.Path:
    return installed("COUNTERSIGN_PYTUF") / "source" / "tests"


def test_the_repository_that_python_tuf_publishes_with_its_source_is_read(tmp_path):
    folder = pytuf_source() / "repository_data" / "repository"
    with served(folder) as site:
        outcome = Ours(tmp_path / "client", folder / "metadata" / "1.root.json").update(site, "file1.txt", "file2.txt", "file3.txt")
    assert outcome.error == ""
    assert outcome.files == {path.name: path.read_bytes() for path in (folder / "targets").iterdir()}


def simulated(tmp_path: pathlib.Path, variant: str) -> dict:
    """A repository of python-tuf's simulator in `tmp_path`/site; what it says of it."""
    python = installed("COUNTERSIGN_PYTUF") / "venv" / "bin" / "python"
    script = pathlib.Path(__file__).parent / "python_tuf_repository.py"
    result = subprocess.run([python, script, pytuf_source().parent, tmp_path / "site", variant], capture_output=True, text=True,
                            check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return json.loads(result.stdout)


@pytest.mark.parametrize("variant", ["ed25519", "ecdsa", "rsa", "plain-names", "hashes", "nested", "rotated"])
def test_a_repository_of_python_tufs_simulator_is_read(tmp_path, variant):
    said = simulated(tmp_path, variant)
    with served(tmp_path / "site") as site:
        outcome = Ours(tmp_path / "client", tmp_path / "site" / "metadata" / "1.root.json").update(site, *said["targets"])
    assert outcome.error == "", outcome.message
    assert outcome.files == {path: content.encode() for path, content in said["targets"].items()}
    assert json.loads((tmp_path / "client" / "state" / "root.json").read_text())["signed"]["version"] == said["root"]


@pytest.mark.parametrize("variant", ["hash-bins", "succinct-roles"])
def test_delegations_by_hash_are_deliberately_refused(tmp_path, variant):
    # Who speaks for a path is to be seen in it: a manufacturer's role has its name in its paths.
    said = simulated(tmp_path, variant)
    with served(tmp_path / "site") as site:
        outcome = Ours(tmp_path / "client", tmp_path / "site" / "metadata" / "1.root.json").update(site, *said["targets"])
    assert outcome.error == "MALFORMED_METADATA" and "are not used here" in outcome.message
