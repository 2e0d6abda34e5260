"""SIGKILL of any one service in the middle of the job, and its restart, lose nothing and do nothing twice."""

import collections
import json
import random
import threading
import time

import pytest

from flow import story  # noqa: F401  pylint: disable=unused-import
from suite import SERVICES
from world import DEVICES, RELEASES

PROVING = [device for device in DEVICES if not device.impostor]


@pytest.mark.parametrize("service", SERVICES)
def test_the_job_finishes_after_a_kill(story, service):  # noqa: F811
    suite = story.suite
    story.set_up()
    suite.restart_killed(service)
    suite.wait_ready(service)
    story.publish()
    story.report()
    rollout = story.launch()
    # While updates are asked for, downloaded and installed.
    moment = random.Random(service).uniform(0.0, 2.0)

    def kill_and_restart() -> None:
        time.sleep(moment)
        suite.processes[service].kill()
        time.sleep(0.5)
        suite.processes[service].start()

    fault = threading.Thread(target=kill_and_restart)
    fault.start()
    try:
        story.consent_in_vehicle()
    except RuntimeError:
        # The display could not reach a service that was dead: the driver answers again when it is back.
        fault.join()
        suite.wait_ready(service)
        answer_what_waits(story)
    fault.join()
    suite.wait_ready(service)
    story.complete(rollout)

    # Nothing twice: one decision and one installation for each component that was updated.
    counts = suite.ctl("operator/ops", "rollout", "show", rollout)["counts"]
    assert counts["succeeded"] == len(PROVING), counts
    assert counts["failed"] == 0, counts
    decisions = collections.Counter(
        record["assignment"] for record in suite.ctl("operator/ops", "consent", "records")
        if record["assignment"].startswith(f"{rollout}/")
    )
    assert set(decisions.values()) == {1}, decisions
    assert {f"{rollout}/assignments/{device.ecu_serial}" for device in PROVING} <= set(decisions)
    packages = suite.ctl("operator/ops", "package", "list")
    assert sorted(package["target_path"] for package in packages) == sorted(release.target_path for release in RELEASES)


def answer_what_waits(story) -> None:  # noqa: F811
    suite = story.suite
    waiting = json.loads(suite.run(*story.gateway_command("car-1"), "prompts", "--json"))
    if waiting:
        story.answer_prompts("car-1", "driver-4", "accept", len(waiting))
