"""Updates of several ECUs of one vehicle that change together or not at all."""

from flow import story  # noqa: F401  pylint: disable=unused-import
from story import DRIVER
from suite import wait_for
from world import RELEASES

OPERATOR = "operator/ops"
CAR = [release for release in RELEASES if release.component in ("telematics", "infotainment", "door")]
SERIALS = [f"{release.component}-0001" for release in CAR]


def roll_out(story, name: str) -> str:  # noqa: F811
    rollout = story.create_rollout(name, CAR, "--bundle")
    story.suite.ctl(OPERATOR, "rollout", "start", rollout)
    return rollout


def phases(story, rollout: str) -> dict:  # noqa: F811
    return {one["ecu_serial"]: one.get("phase") for one in story.assignments(rollout)}


def test_a_vehicles_ecus_change_together_or_not_at_all(story, tmp_path):  # noqa: F811
    suite = story.suite
    # The infotainment's new image does not come up, until somebody has repaired it.
    broken = tmp_path / "broken"
    broken.write_text("")
    check = tmp_path / "check"
    check.write_text(f"#!/bin/sh\ntest ! -e {broken}\n")
    check.chmod(0o755)
    story.health_checks["infotainment"] = check
    story.set_up()
    story.publish()
    story.report()

    rollout = roll_out(story, "Together, and one fails")
    wait_for(lambda: set(phases(story, rollout).values()) == {"UPDATE_PHASE_AWAITING_CONSENT"}, "the driver to be asked", 60)
    # One consent alone lets nothing in: they change together.
    story.answer_prompts("car-1", DRIVER, "accept", 3)
    failed = story.expect_phase(rollout, "infotainment-0001", "ROLLED_BACK")
    assert failed["failure_reason"] == "FAILURE_REASON_UPDATE_FAILED"
    for serial in ("telematics-0001", "door-0001"):
        gone = story.expect_phase(rollout, serial, "ROLLED_BACK")
        assert gone["failure_reason"] == "FAILURE_REASON_DEPENDENCY", gone
        assert "infotainment-0001" in gone["failure_detail"]
    for device in ("telematics", "infotainment", "door"):
        story.expect_version(f"{device}-0001", story.before[f"{device}-0001"])

    broken.unlink()
    rollout = roll_out(story, "Together")
    story.answer_prompts("car-1", DRIVER, "accept", 3)
    for release in CAR:
        story.expect_phase(rollout, f"{release.component}-0001", "SUCCEEDED")
        story.expect_version(f"{release.component}-0001", release.version)
