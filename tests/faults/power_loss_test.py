"""The power goes at random moments of an installation, in the gateway, in the device, or in both (FOTA-P2).

Each round is a release, a rollout, and kills (SIGKILL) while it is downloaded, transferred, activated and booted. After each
kill the disks are looked at, before anything starts again; at the end of a round the server has to know by itself what is true.

COUNTERSIGN_POWER_LOSS=moments:seed makes it a campaign, e.g. 400:7.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path.cwd() / "tests" / "flows"))

from flow import story  # noqa: E402, F401  pylint: disable=unused-import, wrong-import-position
from story import AUTHORITY, OPERATOR, PATIENCE_SECONDS, RESIDENT  # noqa: E402  pylint: disable=wrong-import-position
from suite import wait_for  # noqa: E402  pylint: disable=wrong-import-position
from world import Release  # noqa: E402  pylint: disable=wrong-import-position

MOMENTS, SEED = map(int, os.environ.get("COUNTERSIGN_POWER_LOSS", "16:1").split(":"))
GATEWAY, DEVICE, SERIAL = "home-1", "wifi", "wifi-0001"
# Long enough that a moment can fall into its transfers.
IMAGE_BYTES = 6 << 20
ENDED = ("SUCCEEDED", "FAILED", "ROLLED_BACK")
# What is waited for before a kill, by whose log it is in: kills spread over the whole of an installation and not over its
# longest part only.
EVENTS = (
    (GATEWAY, '"message":"downloading"'),
    (GATEWAY, '"message":"installed"'),
    (GATEWAY, '"message":"activated"'),
    (DEVICE, '"message":"installed into the inactive slot"'),
    (DEVICE, '"message":"reboots into the new image"'),
    (DEVICE, '"message":"the new image came up"'),
)
VICTIMS = ((GATEWAY,), (DEVICE,), (GATEWAY, DEVICE))


@dataclasses.dataclass
class Disks:
    """What the device and the gateway have on their disks while they are dead."""

    sha256: str
    version: str
    release_counter: int
    report_counter: int
    manifest_counter: int


class House:
    """A gateway and its device, whose power can go."""

    def __init__(self, story_) -> None:  # noqa: F811
        self.story, self.suite = story_, story_.suite
        story_.set_up()
        self.suite.ctl(OPERATOR, "manufacturer", "create", "acme", "--display-name", "Acme Devices")
        story_.report()
        self.suite.run(*story_.gateway_command(GATEWAY), "policy", "create", "--kind=security", f"--principal={RESIDENT}")
        self.component = self.suite.folder / "devices" / DEVICE / "components" / SERIAL
        self.images = {}
        self.last = self.disks()
        self.images[self.last.sha256] = self.last.version

    def disks(self) -> Disks:
        """What runs at the next boot, and the counters; fails when there is no complete image that runs."""
        boot = json.loads((self.component / "boot.json").read_text())
        slot = self.component / f"slot-{boot['active']}"
        content = json.loads((slot / "slot.json").read_text())
        digest = hashlib.sha256((slot / "image").read_bytes()).hexdigest()
        assert digest == content["sha256"], "the image that is to run is not whole"
        return Disks(sha256=digest, version=content["version"], release_counter=content["release_counter"],
                     report_counter=int((self.component / "counter").read_text()),
                     manifest_counter=int((self.suite.folder / "gateways" / GATEWAY / "manifest-counter").read_text()))

    def look(self) -> None:
        """After each kill: a complete image that we know, old or new, and no counter that fell."""
        now = self.disks()
        assert now.sha256 in self.images, f"{now.sha256} was never published"
        for counter in ("release_counter", "report_counter", "manifest_counter"):
            assert getattr(now, counter) >= getattr(self.last, counter), f"{counter} fell: {self.last}, {now}"
        self.last = now

    def publish(self, number: int) -> Release:
        path = self.suite.folder / f"image-{number}.bin"
        content = random.Random(f"{SEED}/{number}").randbytes(IMAGE_BYTES)
        path.write_bytes(content)
        release = Release(f"wifi-2.{number}.0", "acme", "wifi", "WL-9", "ar9271", f"2.{number}.0", 100 + number, str(path))
        self.images[hashlib.sha256(content).hexdigest()] = release.version
        proposal = self.story.push([release])
        self.suite.ctl(AUTHORITY, "proposal", "approve", proposal["name"], "--key", self.suite.key("authority"))
        return release

    def cut_power(self, victims: tuple) -> None:
        for name in victims:
            self.suite.processes[name].kill()
        # Whoever lives may be in the middle of replacing one file after another: only what is dead stands still.
        if DEVICE in victims:
            self.look()
        for name in victims:
            self.suite.processes[name].start()

    def phase(self, rollout: str) -> str:
        return next(a["phase"].removeprefix("UPDATE_PHASE_") for a in self.story.assignments(rollout)
                    if a["ecu_serial"] == SERIAL)

    def reported(self) -> dict:
        return next(c for c in self.story.components() if c["ecu_serial"] == SERIAL)


def await_event(house: House, chosen: tuple, offset: int, seconds: float) -> bool:
    """Until a line is in a log after `offset`; False if it does not come."""
    log = house.suite.processes[chosen[0]].log
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with open(log, "rb") as file:
            file.seek(offset)
            if chosen[1].encode() in file.read():
                return True
        time.sleep(0.002)
    return False


def test_the_power_goes_at_any_moment_and_the_device_runs_a_complete_image(story):  # noqa: F811
    house = House(story)
    chance = random.Random(SEED)
    outcomes: dict[str, int] = {}
    moments, number = 0, 0
    while moments < MOMENTS:
        number += 1
        release = house.publish(number)
        before = house.disks()
        offsets = {name: house.suite.processes[name].log.stat().st_size for name in (GATEWAY, DEVICE)}
        rollout = house.story.create_rollout(f"Round {number}", [release])
        house.suite.ctl(OPERATOR, "rollout", "start", rollout)
        for _ in range(chance.randint(1, 4)):
            event, victims, delay = chance.choice(EVENTS), chance.choice(VICTIMS), chance.expovariate(1 / 0.05)
            # What does not come any more is killed where it stands.
            await_event(house, event, offsets[event[0]], 3)
            time.sleep(delay)
            house.cut_power(victims)
            moments += 1
        # Nobody helps: the server learns what became of it.
        wait_for(lambda: house.phase(rollout) in ENDED, f"the end of {rollout} (seed {SEED}, round {number})", PATIENCE_SECONDS)
        phase = house.phase(rollout)
        outcomes[phase] = outcomes.get(phase, 0) + 1

        def true_at_the_server() -> bool:
            runs = house.disks()
            installed = house.reported()["installed"]
            return installed["sha256"] == runs.sha256 and installed["version"] == runs.version

        wait_for(true_at_the_server, f"the inventory to know what runs (seed {SEED}, round {number})", PATIENCE_SECONDS)
        runs = house.disks()
        assert house.reported()["state"] == "STATE_VERIFIED", house.reported()
        if phase == "SUCCEEDED":
            assert runs.version == release.version
        else:
            assert runs.sha256 == before.sha256, f"{phase}, and the device runs {runs.version}"
        for victim in (GATEWAY, DEVICE):
            house.suite.processes[victim].check()
    # Everything at rest.
    house.suite.processes[GATEWAY].kill()
    house.suite.processes[DEVICE].kill()
    house.look()
    print(f"{moments} moments in {number} installations: {outcomes}")
    assert outcomes.get("SUCCEEDED", 0) > 0, "no installation outlived its power cuts"
