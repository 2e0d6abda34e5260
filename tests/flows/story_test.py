"""The whole path, told as tools/demo tells it, with each requirement that it shows."""

from flow import story  # noqa: F401  pylint: disable=unused-import


def test_six_services_patch_a_home_and_a_vehicle(story):  # noqa: F811
    story.set_up()
    # FOTA-A, SC-MA, PLUS-1, HOME-4, APPID-1, APPID-4: published is what two parties signed, pushed or asked for.
    story.publish()
    # HOME-1, HOME-2, FOTA-B, FOTA-C, FOTA-D, FOTA-K: who proves itself counts, over mutual TLS; constrained ones through their gateway.
    story.report()
    # HOME-6, HOME-8, FOTA-E, FOTA-F, FOTA-G, FOTA-H: consent, verification, installation, completion by signed reports.
    rollout = story.launch()
    story.consent_in_vehicle()
    story.complete(rollout)
    # FOTA-R1, FOTA-R2: what nobody signed, approved or consented to reaches no device.
    story.try_wrong_signature()
    story.try_altered_image()
    story.try_unapproved()
    story.try_without_consent()
    story.try_revoked()
    story.try_other_home()
    story.try_other_hardware()

    rows = story.table(rollout)
    updated = [row for row in rows[1:] if row[2] != row[3] and row[3] != "not proved"]
    assert len(updated) == 6
    for row in updated:
        assert row[4] in ("verified", "proxied")
        assert row[6] == "authority/ma" and row[8] == "operator/ops"
        assert row[7] in ("resident-17", "driver-4")


def test_a_new_image_that_does_not_come_up_is_rolled_back(story):  # noqa: F811
    # FOTA-P2
    story.set_up()
    story.publish()
    story.health_checks["settop"] = "/bin/false"
    story.report()
    rollout = story.launch()
    story.consent_in_vehicle()
    story.expect_phase(rollout, "settop-0001", "ROLLED_BACK")
    story.expect_version("settop-0001", "1.16.0")
