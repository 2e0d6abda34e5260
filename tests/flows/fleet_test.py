"""A simulated fleet of gateways of all kinds through a real rollout: what the services say afterwards is what the fleet knows."""

import collections
import json
import signal
import subprocess
import urllib.request

from flow import story  # noqa: F401  pylint: disable=unused-import
from story import OPERATOR
from suite import Process, wait_for
from world import RELEASES

GATEWAYS, COMPONENTS, SECONDS = 50, 3, 120
SHARES = {"slow": 2, "failing": 4, "lying": 4, "silent": 2, "offline": 2, "declining": 4, "asked": 4}
PRODUCTS = ("acme/TH-1/fx2-thermostat/1.0.0/constrained", "acme/WL-9/ar9271/1.3.0", "zenith/TV-4/x86-settop/1.16.0",
            "zenith/TCU-7/arm64-telematics/2022.10.0")
PLAN = ["--seed=a fleet of its own", f"--gateways={GATEWAYS}", f"--components={COMPONENTS}",
        *(f"--{kind}={count / GATEWAYS}" for kind, count in SHARES.items()),
        *(f"--product={product}" for product in PRODUCTS), "--ramp=50", "--download-seconds=0.3", "--install-seconds=0.3",
        "--reboot-seconds=0.3"]
# What a lie of every report costs, until there is no rollout for who told it.
REFUSED = {"wrong-signature": "SIGNATURE_INVALID", "replayed-report": "COUNTER_REPLAYED", "wrong-hardware": "HARDWARE_MISMATCH"}


class Fleet:
    """The program, its flags against the story's services, and what it tells."""

    def __init__(self, story_) -> None:
        self.suite = story_.suite
        self.stats_file = self.suite.folder / "fleet.json"
        self.account_file = self.suite.folder / "fleet-account.jsonl"
        self.program = self.suite.binary("tools/fleet/fleet")
        self.inventory = [f"--pki={self.suite.pki}", f"--inventory-address={self.suite.address('inventory')}"]
        self.services = [
            *(f"--{name}-address={self.suite.address(name)}" for name in ("rollout", "package-store", "consent")),
            f"--director-root={story_.metadata('director-1.root.json')}", f"--image-root={story_.metadata('1.root.json')}"]
        self.process = None

    def plan(self, *flags) -> list:
        return self.suite.run(self.program, "plan", *PLAN, *flags).splitlines()

    def provision(self, *flags) -> None:
        self.suite.run(self.program, "provision", *PLAN, *self.inventory, *flags)

    def start(self, *flags) -> None:
        self.process = Process("fleet", [
            self.program, "run", *PLAN, *self.inventory, *self.services, "--check-in-interval=2", "--download=100%", "--threads=8",
            f"--stats-file={self.stats_file}", f"--account={self.account_file}", *flags,
        ], self.suite.logs / "fleet.log", self.suite.scratch)
        self.suite.processes["fleet"] = self.process

    def stats(self) -> dict:
        return json.loads(self.stats_file.read_text()) if self.stats_file.exists() else {"counts": {}}

    def count(self, name: str) -> int:
        return self.stats()["counts"].get(name, 0)

    def stop(self) -> list:
        """SIGTERM; what the fleet knows of each component."""
        assert self.process.stop() == 0, self.process.tail()
        return [json.loads(line) for line in self.account_file.read_text().splitlines()]


def reports_by_outcome(suite) -> dict:
    """What the inventory has counted."""
    with urllib.request.urlopen(f"http://{suite.http_address('inventory')}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    prefix = 'countersign_inventory_reports_total{outcome="'
    counts = {line[len(prefix):line.index('"', len(prefix))]: int(float(line.split()[-1]))
              for line in lines if line.startswith(prefix)}
    return {outcome: count for outcome, count in counts.items() if count}


# FOTA-D, FOTA-F, FOTA-H, FOTA-K, FOTA-P1, FOTA-P2: reports, consent, completion, proxies, failures and time-outs, all at once.
def test_the_services_and_the_fleet_agree_on_every_component(story):  # noqa: F811
    story.set_up()
    story.publish()
    suite, fleet = story.suite, Fleet(story)

    # The same seed, the same fleet; and shards are parts of it.
    plan = fleet.plan()
    assert plan == fleet.plan() and len(plan) == GATEWAYS + 1
    assert sorted(fleet.plan("--shard=0/2")[:-1] + fleet.plan("--shard=1/2")[:-1]) == plan[:-1]

    # Whoever provisions again, as after an interruption, changes nothing.
    fleet.provision("--shard=0/2")
    fleet.provision()
    fleet.provision()
    assert len(story.components()) == GATEWAYS * COMPONENTS

    fleet.start()
    there = GATEWAYS - SHARES["offline"]
    replayed = 1  # reports twice at once
    policies = there - SHARES["asked"] - SHARES["declining"]
    wait_for(lambda: fleet.count("manifests") >= there + replayed, "the manifests of all gateways", SECONDS)
    wait_for(lambda: fleet.stats()["calls"].get("CreatePolicy", {}).get("count", 0) >= policies, "all policies", SECONDS)
    rollout = story.create_rollout("To a fleet", RELEASES, "--assignment-timeout=25")
    suite.ctl(OPERATOR, "rollout", "start", rollout)
    suite.ctl(OPERATOR, "rollout", "wait", rollout, "--until=COMPLETED", f"--for={SECONDS}")

    # Whatever they still have to say to each other.
    succeeded = int(suite.ctl(OPERATOR, "rollout", "show", rollout)["counts"]["succeeded"])
    wait_for(lambda: fleet.count("updates_succeeded") == succeeded, "the last completed update", SECONDS)
    account = {row["ecu_serial"]: row for row in fleet.stop()}
    stats = fleet.stats()

    # Nothing went wrong that was not meant to.
    assert stats["plan_sha256"] == plan[-1].split()[-1]
    errors = {(name, reason) for name, call in stats["calls"].items() for reason in call["errors"]}
    # The next root is asked for and is not there.
    assert errors <= {("GetDirectorMetadata", "FILE_UNKNOWN"), ("GetMetadata", "METADATA_NOT_FOUND")}, errors
    assert stats["counts"].get("turns_failed", 0) == 0, stats
    assert stats["counts"]["streams_opened"] == there - SHARES["silent"]

    # The inventory: state, version, counter and refused reports of each component.
    components = {component["ecu_serial"]: component for component in story.components()}
    assert components.keys() == account.keys()
    for serial, known in components.items():
        row = account[serial]
        assert known["state"].removeprefix("STATE_") == (row["state"] or "UNVERIFIED"), (known, row)
        assert known.get("installed", {}).get("version", "") == row["version"], (known, row)
        assert known.get("installed", {}).get("sha256", "") == row["sha256"], (known, row)
        assert int(known.get("report_counter", 0)) == row["report_counter"], (known, row)
        assert int(known.get("refused_reports", 0)) == sum(row["refused"].values()), (known, row)
        assert set(row["refused"]) == ({REFUSED[row["lie"]]} if row["lie"] in REFUSED else set()), row
    refused = collections.Counter()
    for row in account.values():
        refused.update({reason.lower(): count for reason, count in row["refused"].items()})
    accepted = sum(row["accepted"] for row in account.values())
    assert reports_by_outcome(suite) == {"accepted": accepted, **refused}
    assert accepted == stats["counts"]["reports_accepted"]

    # The rollout: how each assignment ended.
    assignments = {assignment["ecu_serial"]: assignment for assignment in story.assignments(rollout)}
    proved = {serial for serial, row in account.items() if row["kind"] != "offline" and row["lie"] not in REFUSED}
    assert assignments.keys() == proved
    for serial, assignment in assignments.items():
        row = account[serial]
        phase = assignment["phase"].removeprefix("UPDATE_PHASE_")
        if row["kind"] == "silent" or row["lie"] == "wrong-digest":
            # Nobody said how it ended, or nobody proved it.
            assert (phase, assignment["failure_reason"]) == ("FAILED", "FAILURE_REASON_TIMEOUT"), assignment
            assert row["phase"] == ("VERIFYING" if row["lie"] == "wrong-digest" else ""), row
        else:
            assert phase == row["phase"], (assignment, row)
    ended = collections.Counter(row["phase"] for row in account.values() if row["phase"])
    failing = SHARES["failing"] * COMPONENTS
    assert ended["FAILED"] + ended["ROLLED_BACK"] == failing and ended["CANCELLED"] == SHARES["declining"] * COMPONENTS
    assert ended["SUCCEEDED"] == (GATEWAYS - sum(SHARES.values()) + SHARES["slow"] + SHARES["asked"]) * COMPONENTS

    # Consent: as many questions were answered as the services have records of answers.
    answered = [record for record in suite.ctl(OPERATOR, "consent", "records") if not record.get("policy")]
    decisions = collections.Counter(record["decision"].removeprefix("DECISION_") for record in answered)
    assert decisions == {"DENIED": stats["counts"]["prompts_declined"], "GRANTED": stats["counts"]["prompts_accepted"]}

    # Every image came whole: those who did not fail or were not cut off downloaded one for each update.
    assert stats["calls"]["DownloadImage"]["count"] == stats["counts"]["updates_begun"]
    table = suite.run(fleet.program, "stats", fleet.stats_file)
    assert "SubmitManifest" in table and "updates_succeeded" in table

    # Another run goes on where this one ended: nothing is rolled back in the inventory's eyes, and nothing is to be done.
    before = {serial: component.get("installed", {}).get("version") for serial, component in components.items()}
    fleet.stats_file.unlink()
    fleet.start("--resume")
    wait_for(lambda: fleet.count("manifests") >= there, "the manifests of the second run", SECONDS)
    fleet.stop()
    after = {component["ecu_serial"]: component.get("installed", {}).get("version") for component in story.components()}
    changed = {serial: (before[serial], after[serial]) for serial in after
               if before[serial] != after[serial] and account[serial]["lie"] not in REFUSED}
    assert not changed


def test_a_fleet_refuses_what_it_cannot_be(story):  # noqa: F811
    story.set_up()
    fleet = Fleet(story)
    fleet.provision("--shard=0/25")

    def refused(*command) -> str:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0, done
        return done.stderr

    program, inventory = fleet.program, fleet.inventory
    assert "another key" in refused(program, "provision", "--seed=another", "--gateways=1", *inventory)
    assert "share" in refused(program, "plan", "--slow=lots")
    assert "more than the fleet" in refused(program, "plan", "--slow=60%", "--silent=60%")
    assert "--shard" in refused(program, "plan", "--shard=2/2")
    assert "no product" in refused(program, "plan", "--product=lamp")
    assert "key-type" in refused(program, "provision", "--key-type=rsa", *inventory)
    assert "--pki" in refused(program, "run", "--gateways=1")

    # Services that are not there are asked again, until SIGTERM ends it with a summary.
    fleet.services = [flag if "-address=" not in flag else flag.split("=")[0] + "=127.0.0.1:1" for flag in fleet.services]
    fleet.inventory[1] = "--inventory-address=127.0.0.1:1"
    fleet.start()
    wait_for(lambda: fleet.count("turns_failed") > 20, "failed calls", SECONDS)
    fleet.process._process.send_signal(signal.SIGINT)  # pylint: disable=protected-access
    fleet.stop()
    assert set(fleet.stats()["calls"]["CreateChallenge"]["errors"]) == {"UNAVAILABLE"}
