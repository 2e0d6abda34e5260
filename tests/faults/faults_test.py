"""What breaks in production breaks here, on real processes: the job finishes, nothing is lost and nothing happens twice."""

import collections
import json
import os
import pathlib
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path.cwd() / "tests" / "flows"))

from flow import story  # noqa: E402, F401  pylint: disable=unused-import, wrong-import-position
from story import DRIVER, GATEWAYS, OPERATOR, PATIENCE_SECONDS, RESIDENT  # noqa: E402  pylint: disable=wrong-import-position
from suite import SERVICES, CommandFailed, wait_for  # noqa: E402  pylint: disable=wrong-import-position
from world import DEVICES, RELEASES, Release  # noqa: E402  pylint: disable=wrong-import-position

PROVING = [device for device in DEVICES if not device.impostor]
ENDED = ("SUCCEEDED", "FAILED", "ROLLED_BACK", "CANCELLED")
# What Kubernetes waits for by our manifests before it kills.
GRACE_SECONDS = 20
# A replica that died is replaced in its work within this.
TAKEOVER_SECONDS = 25


# How the tests tell that nothing was lost and nothing happened twice.


def expect_all_once(story, rollout: str) -> None:  # noqa: F811
    """Every component that proves itself was updated: one decision, one installation, one completion each."""
    suite = story.suite
    counts = suite.ctl(OPERATOR, "rollout", "show", rollout)["counts"]
    assert counts["succeeded"] == len(PROVING), counts
    assert counts["failed"] == 0, counts
    decisions = collections.Counter(
        record["assignment"] for record in suite.ctl(OPERATOR, "consent", "records")
        if record["assignment"].startswith(f"{rollout}/")
    )
    assert set(decisions.values()) == {1}, decisions
    assert {f"{rollout}/assignments/{device.ecu_serial}" for device in PROVING} <= set(decisions)
    expect_published_once(story, RELEASES)
    for device in PROVING:
        assert len(log_lines(suite, device.id, "the new image came up")) == 1, device.id
    for gateway in GATEWAYS:
        assert not log_lines(suite, gateway, "metadata refused"), gateway


def expect_published_once(story, releases) -> None:  # noqa: F811
    packages = story.suite.ctl(OPERATOR, "package", "list")
    assert sorted(package["target_path"] for package in packages) == sorted(release.target_path for release in releases)


def log_lines(suite, process: str, message: str) -> list:
    """The lines of a process's log with this message."""
    lines = []
    for line in (suite.logs / f"{process}.log").read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if message in (entry.get("message"), entry.get("msg")):
            lines.append(entry)
    return lines


def answer_all(story) -> None:  # noqa: F811
    """The driver accepts what is asked until there are three answers; a display that reaches nobody is tried again."""
    suite = story.suite

    def answered() -> bool:
        try:
            for prompt in json.loads(suite.run(*story.gateway_command("car-1"), "prompts", "--json")):
                suite.run(*story.gateway_command("car-1"), "answer", prompt["name"], "accept", f"--principal={DRIVER}")
            records = suite.ctl(OPERATOR, "consent", "records", "--gateway", "car-1")
        except CommandFailed:
            return False
        return len(records) >= 3

    wait_for(answered, "the driver's three answers", PATIENCE_SECONDS)


def persist(step, seconds: float = PATIENCE_SECONDS):
    """Repeats a command that a fault made fail, as its user would."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return step()
        except CommandFailed as error:
            if time.monotonic() > deadline or not any(
                    word in str(error) for word in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN", "ABORTED")):
                raise
            time.sleep(0.2)


def ready(suite, process: str) -> bool:
    return subprocess.run(["curl", "--silent", "--fail", "--output", "/dev/null", "--max-time", "10",
                           f"http://{suite.http_address(process)}/readyz"], check=False).returncode == 0


class During:
    """Does `fault` on a thread while the body goes on; what it raises, the body's end raises."""

    def __init__(self, fault) -> None:
        self._error = None

        def run() -> None:
            try:
                fault()
            except BaseException as error:  # pylint: disable=broad-except
                self._error = error

        self._thread = threading.Thread(target=run)

    def __enter__(self):
        self._thread.start()
        return self

    def join(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __exit__(self, kind, value, trace) -> None:
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error


# PostgreSQL.


def test_postgresql_is_killed_while_publishing_and_while_updating_and_nobody_needs_a_restart(story):  # noqa: F811
    suite = story.suite
    story.set_up()
    pids = {name: suite.processes[name].pid for name in SERVICES}
    moments = random.Random("postgresql")

    def power_cut() -> None:
        time.sleep(moments.uniform(0.2, 0.8))
        suite.cluster.kill()
        time.sleep(1.0)
        unready = [name for name in SERVICES if not ready(suite, name)]
        suite.cluster.start()
        # Honest in between, and ready by themselves.
        assert unready == list(SERVICES), f"only {unready} said that they could not work"
        for name in SERVICES:
            suite.wait_ready(name)

    ctl = suite.ctl
    suite.ctl = lambda *arguments: persist(lambda: ctl(*arguments))
    with During(power_cut):
        story.publish()
    story.report()
    rollout = story.launch()
    with During(power_cut):
        answer_all(story)
    story.complete(rollout)
    expect_all_once(story, rollout)
    for name in SERVICES:
        suite.processes[name].check()
        assert suite.processes[name].pid == pids[name]
        suite.wait_ready(name)


# Gateways and devices.


def test_gateways_and_devices_that_lose_power_at_any_moment_finish_every_update_once(story):  # noqa: F811
    suite = story.suite
    story.set_up()
    story.publish()
    story.report()
    rollout = story.launch()
    moments = random.Random("power")
    victims = ["home-1", "car-1"] * 4 + ["settop", "wifi", "thermostat", "telematics", "infotainment", "door"] * 2
    moments.shuffle(victims)

    def power_cuts() -> None:
        for victim in victims:
            time.sleep(moments.uniform(0.05, 0.6))
            suite.restart_killed(victim)

    with During(power_cuts):
        answer_all(story)
    story.complete(rollout)
    expect_all_once(story, rollout)


def test_a_device_that_falls_silent_ends_as_a_timeout_and_holds_up_nobody(story):  # noqa: F811
    # FOTA-H
    suite = story.suite
    story.set_up()
    story.publish()
    story.report()
    suite.run(*story.gateway_command("home-1"), "policy", "create", "--kind=security", f"--principal={RESIDENT}")
    settop = next(release for release in RELEASES if release.component == "settop")
    telematics = next(release for release in RELEASES if release.component == "telematics")
    others = [release for release in RELEASES if release.component in ("wifi", "thermostat")]
    os.kill(suite.processes["settop"].pid, signal.SIGSTOP)
    rollout = story.create_rollout("To a silent device", [settop], "--assignment-timeout=4")
    suite.ctl(OPERATOR, "rollout", "start", rollout)
    wait_for(lambda: story.assignments(rollout)[0]["phase"] not in ("UPDATE_PHASE_IDLE", "UPDATE_PHASE_AWAITING_CONSENT"),
             "the silent device to be let in", PATIENCE_SECONDS)
    # Its neighbours are updated meanwhile.
    neighbours = story.create_rollout("To its neighbours", others, "--assignment-timeout=30")
    suite.ctl(OPERATOR, "rollout", "start", neighbours)
    ended = story.expect_phase(rollout, "settop-0001", "FAILED")
    assert ended["failure_reason"] == "FAILURE_REASON_TIMEOUT", ended
    suite.ctl(OPERATOR, "rollout", "wait", rollout, f"--for={PATIENCE_SECONDS}")
    assert suite.ctl(OPERATOR, "rollout", "show", rollout)["counts"]["failed"] == 1
    for serial in ("wifi-0001", "thermostat-0001"):
        story.expect_phase(neighbours, serial, "SUCCEEDED")

    careful = story.create_rollout("With a limit", [settop, telematics], "--assignment-timeout=4", "--max-failures=1")
    suite.ctl(OPERATOR, "rollout", "start", careful)
    story.expect_phase(careful, "settop-0001", "FAILED")
    # The vehicle's driver is still being asked, and will not be let in.
    wait_for(lambda: suite.ctl(OPERATOR, "rollout", "show", careful)["state"] == "STATE_PAUSED", "the rollout to pause",
             PATIENCE_SECONDS)


# Replicas, shutdown, certificates.


class TestWithTwoReplicas:
    replicas = 2

    def test_one_of_each_dies_in_the_middle_and_the_others_finish(self, story):  # noqa: F811
        suite = story.suite
        story.set_up()
        story.publish()
        story.report()
        suite.run(*story.gateway_command("home-1"), "policy", "create", "--kind=security", f"--principal={RESIDENT}")
        rollout = story.create_rollout("Two at a time", RELEASES, "--max-concurrent=2")
        suite.ctl(OPERATOR, "rollout", "start", rollout)
        sampling = threading.Event()
        most = [0]

        def sample() -> None:
            while not sampling.is_set():
                under_way = [a for a in story.assignments(rollout) if a["phase"].removeprefix("UPDATE_PHASE_") not in
                             (*ENDED, "IDLE", "AWAITING_CONSENT", "DEFERRED", "UNSPECIFIED")]
                most[0] = max(most[0], len(under_way))

        with During(sample):
            try:
                time.sleep(random.Random("replicas").uniform(0.5, 1.5))
                for name in SERVICES:
                    suite.processes[name].kill()
                answer_all(story)
                story.complete(rollout)
            finally:
                sampling.set()
        assert 1 <= most[0] <= 2, most
        expect_all_once(story, rollout)


def test_sigterm_in_the_middle_of_the_job_ends_each_service_in_order_and_streams_come_back(story):  # noqa: F811
    suite = story.suite
    story.set_up()
    story.publish()
    story.report()
    rollout = story.launch()
    # The vehicle's updates wait for the driver, so that streams are open all the while.
    for name in SERVICES:
        begin = time.monotonic()
        assert suite.processes[name].stop() == 0, f"{name}: {suite.processes[name].tail()}"
        assert time.monotonic() - begin < GRACE_SECONDS, name
        suite.processes[name].start()
        suite.wait_ready(name)
    ended = log_lines(suite, "car-1", "hint stream ended")
    assert any("SERVER_DRAINING" in json.dumps(line) or "shutting down" in json.dumps(line) for line in ended), ended
    wait_for(lambda: streams_begun(suite) >= len(GATEWAYS), "the gateways to listen for hints again", PATIENCE_SECONDS)
    answer_all(story)
    story.complete(rollout)
    expect_all_once(story, rollout)


def streams_begun(suite) -> float:
    """How many streams of hints the rollout service has begun since it started."""
    with urllib.request.urlopen(f"http://{suite.http_address('rollout')}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines
               if line.startswith("grpc_server_started_total{") and '"StreamHints"' in line)


def test_certificates_are_rotated_while_the_job_runs(story):  # noqa: F811
    suite = story.suite
    story.set_up()
    story.publish()
    story.report()
    rollout = story.launch()
    pids = {name: suite.processes[name].pid for name in SERVICES}
    before = {name: served_certificate(suite, name) for name in SERVICES}
    for name in SERVICES:
        suite.reissue(f"service/{name}")
    for name in SERVICES:
        wait_for(lambda name=name: served_certificate(suite, name) != before[name], f"{name}'s new certificate", 30)
        assert served_certificate(suite, name).strip() in (suite.certificates / f"service-{name}.crt").read_text()
    answer_all(story)
    story.complete(rollout)
    expect_all_once(story, rollout)
    for name in SERVICES:
        suite.processes[name].check()
        assert suite.processes[name].pid == pids[name]


def served_certificate(suite, service: str) -> str:
    """What a new connection is shown, in PEM."""
    host, port = suite.address(service).rsplit(":", 1)
    return ssl.get_server_certificate((host, int(port)))


# The package store's disk, and the manufacturers' backends.


def test_a_full_disk_refuses_an_image_in_words_and_takes_it_when_there_is_room(story):  # noqa: F811
    suite = story.suite
    blobs = suite.folder / "blobs"
    suite.prefixes["package-store"] = [
        "unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=1m tmpfs {blobs} && exec "$@"', "sh"]
    story.set_up()
    suite.ctl(OPERATOR, "manufacturer", "create", "acme", "--display-name", "Acme Devices")
    release = next(release for release in RELEASES if release.component == "infotainment")
    assert pathlib.Path(release.image).stat().st_size > 1 << 20
    with pytest.raises(CommandFailed) as refusal:
        suite.ctl("manufacturer/acme", "image", "upload", "acme", release.image)
    assert "RESOURCE_EXHAUSTED" in str(refusal.value) and "room" in str(refusal.value), refusal.value

    # Nothing half is visible, and everything else goes on.
    inside = pathlib.Path(f"/proc/{suite.processes['package-store'].pid}/root{blobs}")
    assert not [path for path in (inside / "images").rglob("*") if path.is_file()]
    role = story.sign_role([release])
    with pytest.raises(CommandFailed) as refusal:
        suite.ctl("manufacturer/acme", "proposal", "create", "acme", role)
    assert "IMAGE" in str(refusal.value), refusal.value
    suite.wait_ready("package-store")

    suite.run("nsenter", f"--target={suite.processes['package-store'].pid}", "--mount",
              "mount", "-o", "remount,size=64m", blobs)
    suite.ctl("manufacturer/acme", "image", "upload", "acme", release.image)
    proposal = suite.ctl("manufacturer/acme", "proposal", "create", "acme", role)
    suite.ctl("authority/ma", "proposal", "approve", proposal["name"], "--key", suite.key("authority"))
    expect_published_once(story, [release])


def test_a_backend_and_the_liaison_service_die_in_the_middle_of_an_image_and_the_next_refresh_completes(story):  # noqa: F811
    # HOME-4
    suite = story.suite
    story.set_up()
    image = suite.folder / "large.bin"
    image.write_bytes(random.Random("image").randbytes(192 << 20))
    release = Release("telematics-3000.1.0", "zenith", "telematics", "TCU-7", "arm64-telematics", "3000.1.0", 3000, str(image))
    story.start_backend([release])

    uploads = suite.folder / "blobs" / "uploads"

    def got() -> int:
        """How much of the image the store has, all of it once the upload is gone."""
        try:
            return next((path.stat().st_size for path in uploads.iterdir()), image.stat().st_size)
        except FileNotFoundError:
            return image.stat().st_size

    suite.ctl(OPERATOR, "manufacturer", "create", "zenith", "--display-name", "Zenith Automotive",
              "--backend", story.backend.address)
    wait_closely(lambda: list(uploads.iterdir()) and got() > 0, "the image to be on its way")
    suite.processes["zenith-backend"].kill()
    failed = wait_for(lambda: refreshed(suite, "FAILED"), "the refresh to fail", PATIENCE_SECONDS)
    assert release.id in failed["last_refresh_error"], failed
    had = got()
    assert 0 < had < image.stat().st_size
    assert not suite.ctl(OPERATOR, "package", "list")

    suite.processes["zenith-backend"].start()
    persist(lambda: suite.ctl(OPERATOR, "manufacturer", "refresh", "zenith"))
    wait_closely(lambda: got() > had, "the image to go on")
    # It does not wait for a backend that stands still, and has its turn again.
    os.kill(suite.processes["zenith-backend"].pid, signal.SIGSTOP)
    begin = time.monotonic()
    assert suite.processes["liaison"].stop() == 0
    assert time.monotonic() - begin < GRACE_SECONDS
    had = got()
    suite.processes["liaison"].start()
    os.kill(suite.processes["zenith-backend"].pid, signal.SIGCONT)
    suite.wait_ready("liaison")
    # All of it may be there by now; then the kill comes between that and the proposal, or after it.
    wait_closely(lambda: got() > had or had == image.stat().st_size, "the image to go on again")
    suite.restart_killed("liaison")
    suite.wait_ready("liaison")
    wait_for(lambda: refreshed(suite, "SUCCEEDED"), "another to take over the refresh", TAKEOVER_SECONDS)
    proposals = suite.ctl("authority/ma", "proposal", "list", "--state", "waiting")
    assert len(proposals) == 1
    suite.ctl("authority/ma", "proposal", "approve", proposals[0]["name"], "--key", suite.key("authority"))
    expect_published_once(story, [release])


def refreshed(suite, state: str) -> dict | None:
    zenith = suite.ctl(OPERATOR, "manufacturer", "show", "zenith")
    return zenith if zenith["last_refresh_state"] == f"REFRESH_STATE_{state}" else None


def wait_closely(condition, what: str):
    """As wait_for, for a moment that does not last."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.002)
    return answer
