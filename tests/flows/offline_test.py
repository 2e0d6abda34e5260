"""An update that is carried to a home without network in a file (SC-ALT), and what the terminal asks of the agent."""

import json
import pathlib
import re

from flow import story  # noqa: F401  pylint: disable=unused-import
from suite import CommandFailed, wait_for
from world import RELEASES

OPERATOR = "operator/ops"
WIFI = next(release for release in RELEASES if release.component == "wifi")


def test_a_home_without_network_is_updated_from_a_file_and_reports_when_the_network_is_back(story, tmp_path):  # noqa: F811
    suite = story.suite
    story.set_up()
    story.publish()
    story.report()
    home = story.gateway_command("home-1")

    # HOME-10, FOTA-T2: an honest answer.
    assert "Nothing new" in suite.run(*home, "check")
    assert "Nothing waits" in suite.run(*home, "confirmations")

    # The home loses its network before it hears of the update.
    suite.processes["home-1"].stop()
    suite.run(*home, "policy", "create", "--kind=security", "--principal=resident-1")
    rollout = story.create_rollout("By hand", [WIFI])
    suite.ctl(OPERATOR, "rollout", "start", rollout)
    package = tmp_path / "wifi.bundle"
    roots = [f"--director-root={story.metadata('director-1.root.json')}", f"--image-root={story.metadata('1.root.json')}"]
    create = ["bundle", "create", "--gateway=home-1", f"--target={WIFI.target_path}", f"--output={package}", *roots]

    def created() -> bool:
        try:
            suite.ctl(OPERATOR, *create)
        except CommandFailed as failure:
            if "NOTHING_ORDERED" not in str(failure):  # it has not been let in yet
                raise
            return False
        return True

    wait_for(created, "the update to be ordered", 60)
    story.refuse("a package over another one", lambda: suite.ctl(OPERATOR, *create), "FILE_EXISTS")
    suite.offline("bundle", "verify", package, *roots)
    assert WIFI.target_path in suite.offline("bundle", "show", package)

    # What anyone may have done to the file on its way.
    damaged = tmp_path / "damaged.bundle"
    content = package.read_bytes()
    image = pathlib.Path(WIFI.image).read_bytes()
    at = content.index(image[:64])
    damaged.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1:])
    story.refuse("a package with another image", lambda: suite.offline("bundle", "verify", damaged, *roots), "DIGEST_MISMATCH")

    # No service is to be had, and the agent goes on with what it is given.
    config = pathlib.Path(home[1].split("=", 1)[1])
    alone = tmp_path / "alone.toml"
    alone.write_text(re.sub(r'(-address = )".*"', r'\1"127.0.0.1:1"', config.read_text()))
    offline = [home[0], f"--config={alone}"]
    story.refuse("a package without an agent", lambda: suite.run(*offline, "install-bundle", package), "AGENT_NOT_RUNNING")
    suite.start("home-1-alone", [*offline, "run", "--check-in-interval=1"])
    wait_for(lambda: "DIGEST_MISMATCH" in refusal(lambda: suite.run(*offline, "install-bundle", damaged)),
             "the agent to refuse the damaged package", 30)
    story.refuse("a package for another home",
                 lambda: suite.run(*story.gateway_command("car-1"), "install-bundle", package), "PACKAGE_NOT_FOR_HERE")
    story.refuse("a check without network", lambda: suite.run(*offline, "check"), "cannot be said")

    def installed() -> bool:
        answer = suite.run(*offline, "install-bundle", package)
        return "restarts into it" in answer or "runs it already" in answer or "installed" in answer

    wait_for(installed, "the device to take the package", 30)
    suite.processes["home-1-alone"].stop()

    # The network is back: the server learns it from the device's own signature.
    suite.processes["home-1"].start()
    story.expect_phase(rollout, "wifi-0001", "SUCCEEDED")
    story.expect_version("wifi-0001", WIFI.version)
    assert "Nothing new" in wait_for(lambda: told(suite, home), "an answer", 30)
    assert json.loads(suite.run(*home, "confirmations", "--json")) == []


def told(suite, home) -> str:
    answer = suite.run(*home, "check")
    return answer if "Nothing new" in answer else ""


def refusal(attempt) -> str:
    try:
        attempt()
    except CommandFailed as failure:
        return str(failure)
    return ""
