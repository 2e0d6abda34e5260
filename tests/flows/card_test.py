"""Devices with smart cards in the whole: what the authority approved is installed, by those whose card knows the authority."""

from flow import story  # noqa: F401  pylint: disable=unused-import


def test_devices_check_the_authoritys_approval_with_their_cards(story):  # noqa: F811
    # SC-GEN-11, SC-USE-6, FOTA-K: the constrained thermostat has a card, too; the one of wifi was issued by somebody else.
    story.set_up()
    story.publish()
    story.suite.create_key("stranger")
    story.cards = {"settop": "authority", "thermostat": "authority", "wifi": "stranger"}
    story.report()
    rollout = story.launch()
    for serial, version in (("settop-0001", "1.16.2"), ("thermostat-0001", "1.1.0")):
        story.expect_phase(rollout, serial, "SUCCEEDED")
        story.expect_version(serial, version)
    refused = story.expect_phase(rollout, "wifi-0001", "FAILED")
    assert refused["failure_reason"] == "FAILURE_REASON_NOT_APPROVED", refused
    assert "UNKNOWN_KEY" in str(refused), refused
    story.expect_version("wifi-0001", "1.3.0")
