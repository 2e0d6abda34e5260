"""The Management Authority at work: it examines, approves, refuses and revokes, as its people do it, with real processes."""

import json

import pytest

from flow import story  # noqa: F401  pylint: disable=unused-import
from story import AUTHORITY, OPERATOR
from suite import CommandFailed, wait_for
from world import RELEASES, UNAPPROVED, WITHOUT_CONSENT

ACME = "manufacturer/acme"
REASON = "It opens a debug port."


def refused(reason: str, attempt, *arguments) -> None:
    with pytest.raises(CommandFailed) as refusal:
        attempt(*arguments)
    assert reason in str(refusal.value), refusal.value


@pytest.fixture(name="waiting")
def fixture_waiting(story):  # noqa: F811
    """A proposal of acme's that waits."""
    story.set_up()
    story.suite.ctl(OPERATOR, "manufacturer", "create", "acme", "--display-name", "Acme Devices")
    return story.push([release for release in RELEASES if release.manufacturer == "acme"])


def show(suite, name: str) -> str:
    """What the authority's people read."""
    return suite.run(suite.binary("tools/ctl/countersign"), "--config", suite.config(AUTHORITY), "proposal", "show", name)


def digest_of(text: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.startswith("  digest"))


def test_the_authority_reads_what_is_proposed_and_signs_exactly_that(story, waiting):  # noqa: F811
    # SC-MA, HOME-5, FOTA-A
    suite, name = story.suite, waiting["name"]
    listed = suite.ctl(AUTHORITY, "proposal", "list", "--state", "waiting")
    assert [(row["name"], row["proposed_by"]) for row in listed] == [(name, ACME)]
    assert listed[0]["create_time"]
    text = show(suite, name)
    for release in (release for release in RELEASES if release.manufacturer == "acme"):
        info = release.json()["info"]
        for word in (release.target_path, release.name, release.version, release.hardware_id, "criticality", "(verified)",
                     *info.get("advisory", {}).get("ids", []), *(notice["purpose"] for notice in info["notices"])):
            assert word in text, (word, text)

    approve = lambda *flags: suite.ctl(AUTHORITY, "proposal", "approve", name, *flags)  # noqa: E731
    # What was reviewed is something else; the key is not the authority's; the root is another repository's.
    refused("PROPOSAL_CHANGED", approve, "--key", suite.key("authority"), "--reviewed", "0" * 64)
    refused("WRONG_KEY", approve, "--key", suite.key("acme"))
    refused("countersign", approve, "--key", suite.key("authority"), "--root", story.metadata("director-1.root.json"))
    approved = approve("--key", suite.key("authority"), "--reviewed", digest_of(text))
    assert approved["state"] == "STATE_APPROVED"
    # The next one is compared with what is in force.
    text = show(suite, story.push([UNAPPROVED])["name"])
    assert f"+ {UNAPPROVED.target_path}" in text
    for release in (release for release in RELEASES if release.manufacturer == "acme"):
        assert release.target_path not in text


def test_an_approval_is_signed_on_a_machine_without_a_network(story, waiting, tmp_path):  # noqa: F811
    # SC-MA, SC-GEN-11
    suite, name = story.suite, waiting["name"]
    folder, signed = tmp_path / "review", tmp_path / "approval.json"
    suite.ctl(AUTHORITY, "proposal", "download", name, folder)
    sign = lambda: suite.offline("proposal", "sign", folder, "--root", story.metadata("1.root.json"),  # noqa: E731
                                 "--key", suite.key("authority"), "--out", signed)
    # Tampered with on the way: an image, the proposal, the metadata.
    image = folder / "images" / next(r.target_path for r in RELEASES if r.manufacturer == "acme")
    flip = lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]  # noqa: E731
    for path, change in ((image, flip), (next((folder / "metadata").glob("*.targets.json")), flip),
                         (folder / "proposal.json", lambda content: content.replace(b'"version": "', b'"version": "9'))):
        content = path.read_bytes()
        assert change(content) != content
        path.write_bytes(change(content))
        with pytest.raises(CommandFailed):
            sign()
        path.write_bytes(content)
    assert not signed.exists()
    sign()
    assert suite.ctl(AUTHORITY, "proposal", "submit", signed)["state"] == "STATE_APPROVED"
    assert len(suite.ctl(OPERATOR, "package", "list")) == len([r for r in RELEASES if r.manufacturer == "acme"])


def test_a_refusal_and_its_reason_reach_the_manufacturer(story, waiting):  # noqa: F811
    # SC-MA
    suite, name = story.suite, waiting["name"]
    suite.ctl(AUTHORITY, "proposal", "refuse", name, "--reason", REASON)
    for seen in (suite.ctl(ACME, "proposal", "show", name), suite.ctl(ACME, "proposal", "list", "--manufacturer", "acme")[0]):
        assert seen["state"] == "STATE_REFUSED"
        assert seen["refusal_reason"] == REASON
        assert seen["decided_by"] == AUTHORITY
    refused("WRONG_STATE", suite.ctl, AUTHORITY, "proposal", "approve", name, "--key", suite.key("authority"))
    assert not suite.ctl(OPERATOR, "package", "list")
    assert {(event["kind"], event["identity"]) for event in suite.ctl(ACME, "package", "history")} == {
        ("KIND_REFUSED", AUTHORITY), ("KIND_PROPOSED", ACME)}


def test_a_package_that_is_revoked_in_the_middle_of_a_rollout_reaches_no_further_device(story):  # noqa: F811
    # SC-MA, PLUS-1, PLUS-5
    suite = story.suite
    story.set_up()
    story.publish()
    story.report()
    rollout = story.launch()
    # The home installs; in the vehicle the driver is asked, and has not answered.
    story.expect_phase(rollout, "infotainment-0001", "AWAITING_CONSENT")
    release = next(release for release in RELEASES if release.component == "infotainment")
    revoke = lambda *flags: suite.ctl(AUTHORITY, "package", "revoke", release.target_path, "--reason", REASON, *flags)  # noqa: E731
    refused("UNKNOWN_KEY", revoke, "--key", suite.key("acme"))
    for identity in (ACME, OPERATOR):
        refused("ROLE_NOT_ALLOWED", suite.ctl, identity, "package", "revoke", release.target_path, "--reason", REASON,
                "--key", suite.key("authority"))
    assert revoke("--key", suite.key("authority"))["state"] == "STATE_REVOKED"
    again = revoke("--key", suite.key("authority"))
    assert again["end_reason"] == REASON

    assignment = story.expect_phase(rollout, "infotainment-0001", "CANCELLED")
    assert assignment["failure_reason"] == "FAILURE_REASON_NOT_APPROVED"
    assert REASON in assignment["failure_detail"]
    # The others go on, and are the only ones that the driver is still asked about.
    wait_for(lambda: len(json.loads(suite.run(*story.gateway_command("car-1"), "prompts", "--json"))) == 2,
             "the question about what was revoked to be closed", 60)
    story.answer_prompts("car-1", "driver-4", "accept", 2)
    for serial in ("thermostat-0001", "wifi-0001", "settop-0001", "telematics-0001", "door-0001"):
        story.expect_phase(rollout, serial, "SUCCEEDED")
    story.expect_version("infotainment-0001", "2022.8.0")

    refused("NOT_APPROVED", suite.ctl, OPERATOR, "rollout", "start", story.create_rollout("Again", [release]))
    # Its path is never approved again.
    suite.ctl(ACME, "image", "upload", "acme", WITHOUT_CONSENT.image)
    refused("REVOKED", suite.ctl, ACME, "proposal", "create", "acme", story.sign_role([WITHOUT_CONSENT]))
    history = suite.ctl(OPERATOR, "package", "history", release.target_path)
    assert [event["kind"] for event in history] == ["KIND_REVOKED", "KIND_APPROVED", "KIND_PROPOSED"]
    assert [event["identity"] for event in history] == [AUTHORITY, AUTHORITY, ACME]
    assert history[0]["reason"] == REASON
    assert json.dumps(suite.ctl(OPERATOR, "package", "list")).count(release.target_path) == 0
    revoked = suite.ctl(OPERATOR, "package", "show", release.target_path, "--revoked")
    assert revoked["state"] == "STATE_REVOKED" and revoked["ended_by"] == AUTHORITY
