"""The transparency log with real processes: what was published can be checked by everybody, and a package that was signed with
stolen keys does not stay unseen (PLUS-3)."""

import shutil
import subprocess

import pytest

from flow import story  # noqa: F401  pylint: disable=unused-import
from story import AUTHORITY, OPERATOR
from suite import wait_for
from world import RELEASES, UNAPPROVED

ACME = "manufacturer/acme"
COMMAND_LINE, BAD_DATA = 2, 7


def countersign(suite, identity: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(suite.binary("tools/ctl/countersign")), "--config", str(suite.config(identity)), *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


class Acme:
    """The manufacturer's own record of what it signed, and its monitor of the log."""

    def __init__(self, story_) -> None:
        self.suite = story_.suite
        self.root = story_.metadata("1.root.json")
        self.known = self.suite.folder / "acme-signed"
        self.known.mkdir()
        self.state = self.suite.folder / "acme-monitor.state"
        for file in (self.suite.folder / "metadata").glob("acme-*.json"):
            shutil.copy(file, self.known)

    def arguments(self, *more) -> list:
        return ["log", "monitor", "--role", "acme", "--known", self.known, "--root", self.root, "--state", self.state, *more]

    def look(self) -> subprocess.CompletedProcess:
        return countersign(self.suite, ACME, *self.arguments())


@pytest.fixture(name="published")
def fixture_published(story):  # noqa: F811
    story.set_up()
    story.publish()
    return story


def steal_and_publish(story_) -> str:
    """Whoever has stolen the manufacturer's key and certificate, and the authority's, publishes an image as acme's. Nobody but the
    log knows of it. Returns the image's path."""
    suite = story_.suite
    suite.ctl(ACME, "image", "upload", "acme", UNAPPROVED.image)
    before = sorted((suite.folder / "metadata").glob("acme-*.json"))[-1]
    role = suite.folder / "stolen.json"
    suite.offline("metadata", "role", "--out", role, f"--previous={before}", f"--release={story_.release_file(UNAPPROVED)}")
    suite.offline("metadata", "sign", role, f"--key={suite.key('acme')}")
    proposal = suite.ctl(ACME, "proposal", "create", "acme", role)
    suite.ctl(AUTHORITY, "proposal", "approve", proposal["name"], "--key", suite.key("authority"))
    return UNAPPROVED.target_path


def test_a_manufacturer_sees_what_was_published_with_its_stolen_key(published):
    suite, acme = published.suite, Acme(published)
    assert acme.look().returncode == 0, acme.look()
    follower = suite.start("acme-monitor", [
        suite.binary("tools/ctl/countersign"), "--config", suite.config(ACME), *acme.arguments("--follow", "--interval=1")])

    path = steal_and_publish(published)
    seen = acme.look()
    assert seen.returncode == BAD_DATA, seen
    assert "ENTRY_NOT_MADE" in seen.stderr and path in seen.stdout and "package_approved" in seen.stdout, seen
    # It stays in sight until somebody has dealt with it, also for who watches all the time.
    assert acme.look().returncode == BAD_DATA
    wait_for(lambda: follower.check() or path in follower.log.read_text(), "the monitor's alarm", 60)

    # The store has hidden nothing: for its own record the log is as it should be.
    verified = countersign(suite, OPERATOR, "log", "verify", "--root", acme.root, "--state", suite.folder / "op.state")
    assert verified.returncode == 0, verified
    # Once the manufacturer accounts for it, it is one of its own.
    shutil.copy(suite.folder / "stolen.json", acme.known)
    assert acme.look().returncode == 0, acme.look()
    assert suite.ctl(OPERATOR, "package", "show", path)["log_proof"]


def test_everybody_can_verify_the_log_and_a_proof_needs_no_server(published):
    suite = published.suite
    root = published.metadata("1.root.json")
    state = suite.folder / "verify.state"
    suite.issue("gateway/home-9")
    for identity, flags in ((OPERATOR, []), (AUTHORITY, []), (ACME, ["--manufacturer", "acme"])):
        result = countersign(suite, identity, "log", "verify", "--root", root, "--state", state, *flags)
        assert result.returncode == 0, result
    assert "begins with" in result.stdout

    path = next(package["target_path"] for package in suite.ctl(OPERATOR, "package", "list")
                if package["manufacturer"] == "acme")
    image = next(release for release in RELEASES if release.target_path == path).image
    proof = suite.folder / "image.tlog-proof"
    suite.ctl("gateway/home-9", "log", "proof", path, "--out", proof)
    said = suite.offline("log", "check-proof", proof, "--root", root, "--image", image, "--target-path", path)
    assert path in said
    suite.offline("log", "check-proof", proof, "--vkey", suite.log_vkey(), "--image", image)

    def refused(*arguments, status=BAD_DATA) -> str:
        result = subprocess.run([str(suite.binary("tools/ctl/countersign")), "log", "check-proof", *map(str, arguments)],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == status, result
        return result.stderr

    assert "LOG_PROOF_INVALID" in refused(proof, "--root", root, "--image", UNAPPROVED.image)
    assert "LOG_PROOF_INVALID" in refused(proof, "--root", root, "--image", image, "--target-path", "acme/other/1.bin")
    suite.create_key("other-log", "ed25519")
    other = suite.offline("key", "vkey", suite.public_key("other-log"), "--origin", suite.log_vkey().split("+")[0]).strip()
    assert "LOG_HEAD_NOT_SIGNED" in refused(proof, "--vkey", other, "--image", image)
    lines = proof.read_text().splitlines(keepends=True)
    altered = suite.folder / "altered.tlog-proof"
    altered.write_text("".join(lines[:2] + ["index 0\n"] + lines[3:]))
    assert "LOG_PROOF_INVALID" in refused(altered, "--root", root, "--image", image)
    assert "FLAG_MISSING" in refused(proof, "--image", image, status=COMMAND_LINE)
    assert "FLAG_MISSING" in refused(proof, "--root", root, status=COMMAND_LINE)


def test_a_log_that_does_not_continue_what_was_seen_is_caught(published):
    suite = published.suite
    root = published.metadata("1.root.json")
    state = suite.folder / "verify.state"
    verify = ("log", "verify", "--root", root, "--state", state)
    assert countersign(suite, OPERATOR, *verify).returncode == 0
    origin, size, head = state.read_text().splitlines()
    # As if another history had been shown before, or one that was longer.
    for seen in (f"{origin}\n{int(size) - 1}\n{head}\n", f"{origin}\n{int(size) + 1}\n{head}\n"):
        state.write_text(seen)
        caught = countersign(suite, OPERATOR, *verify)
        assert caught.returncode == BAD_DATA and "LOG_INCONSISTENT" in caught.stderr, caught
        assert state.read_text() == seen
