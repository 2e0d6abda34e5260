"""A fleet of simulated gateways (tools/fleet) against the six services on this machine: what they cost. Run it with
tests/load/fleet --gateways 10000; the defaults are small. Every phase is printed with the CPU time of each process."""

import argparse
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "scenario"))

from story import OPERATOR, Story  # noqa: E402
from suite import SERVICES, Suite, wait_for  # noqa: E402
from world import RELEASES  # noqa: E402

PRODUCTS = ("acme/TH-1/fx2-thermostat/1.0.0/constrained", "acme/WL-9/ar9271/1.3.0", "zenith/TV-4/x86-settop/1.16.0",
            "zenith/TCU-7/arm64-telematics/2022.10.0", "zenith/DR-1/fx2-door/1.0.0/constrained")
TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def children(pid: int) -> list:
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident_mib(pid: int) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


class Load:
    """The services, the fleet, and who used how much of the processors."""

    def __init__(self, arguments, folder: pathlib.Path) -> None:
        self.arguments = arguments
        self.suite = Suite(arguments.binaries, folder)
        self.story = Story(self.suite, lambda sentence: print(f"  {sentence}", flush=True))
        self.stats_file = folder / "fleet.json"
        self.plan = [f"--gateways={arguments.gateways}", f"--components={arguments.components}", f"--ramp={arguments.ramp}",
                     *(f"--product={product}" for product in PRODUCTS), *arguments.shares.split()]
        self.inventory = [f"--pki={self.suite.pki}", f"--inventory-address={self.suite.address('inventory')}"]

    def prepare(self) -> None:
        self.story.set_up()
        self.story.publish()
        self.processes = {name: self.suite.processes[name].pid for name in SERVICES}
        postmaster = (self.suite.cluster.folder / "data" / "postmaster.pid").read_text().split()[0]
        self.processes["postgres"] = int(postmaster)

    def used(self) -> dict:
        return {name: sum(cpu_of(child) for child in children(pid)) if name == "postgres" else cpu_of(pid)
                for name, pid in self.processes.items()}

    def phase(self, name: str, run, unit: str = "", count: int = 0) -> float:
        """Runs it, and prints the CPU time of everyone (and in microseconds for each `unit`)."""
        before, begin = self.used(), time.monotonic()
        amount = run() or count
        seconds = time.monotonic() - begin
        print(f"\n{name}: {seconds:.1f} s" + (f", {amount} {unit} ({amount / seconds:.0f} a second)" if amount else ""))
        for process, after in self.used().items():
            cpu = after - before.get(process, 0)
            if cpu < 0.05:
                continue
            memory = "" if process == "postgres" else f"{resident_mib(self.processes[process]):8.0f} MiB"
            each = f"{1e6 * cpu / amount:10.0f} us each" if amount else ""
            print(f"  {process:15} {cpu:8.1f} s CPU{each}{memory}")
        sys.stdout.flush()
        return seconds

    def stats(self) -> dict:
        return json.loads(self.stats_file.read_text()) if self.stats_file.exists() else {"counts": {}, "calls": {}}

    def count(self, name: str) -> int:
        return self.stats()["counts"].get(name, 0)

    def calls(self, name: str) -> int:
        return self.stats()["calls"].get(name, {}).get("count", 0)

    def start_fleet(self) -> None:
        suite = self.suite
        suite.start("fleet", [
            self.suite.binary("tools/fleet/fleet"), "run", *self.plan, *self.inventory,
            *(f"--{name}-address={suite.address(name)}" for name in ("rollout", "package-store", "consent")),
            f"--director-root={self.story.metadata('director-1.root.json')}",
            f"--image-root={self.story.metadata('1.root.json')}", f"--check-in-interval={self.arguments.check_in}",
            f"--stats-file={self.stats_file}", f"--threads={self.arguments.threads}", *self.arguments.run_flags.split()])
        self.processes["fleet"] = suite.processes["fleet"].pid

    def steady(self) -> int:
        before = self.calls("CheckIn")
        time.sleep(self.arguments.steady)
        return self.calls("CheckIn") - before

    def roll_out(self) -> int:
        before = self.count("updates_succeeded")
        suite = self.suite
        created = suite.ctl(OPERATOR, "rollout", "create", "To the fleet", *(f"--release={release.name}" for release in RELEASES))
        suite.ctl(OPERATOR, "rollout", "wait", created["name"], "--until=READY", f"--for={self.arguments.patience}")
        suite.ctl(OPERATOR, "rollout", "start", created["name"])

        def settled() -> bool:
            counts = suite.ctl(OPERATOR, "rollout", "show", created["name"])["counts"]
            print(f"  {counts}", flush=True)
            time.sleep(5)
            return counts.get("succeeded", 0) + counts.get("failed", 0) + counts.get("cancelled", 0) >= counts["total"] * 0.97

        wait_for(settled, "97 % of the rollout", self.arguments.patience)
        return self.count("updates_succeeded") - before

    def run(self) -> None:
        arguments = self.arguments
        self.prepare()
        there = arguments.gateways
        empty = resident_mib(self.processes["rollout"])
        program = self.suite.binary("tools/fleet/fleet")
        self.phase("Provisioning", lambda: self.suite.run(program, "provision", *self.plan, *self.inventory) and None, "devices",
                   arguments.gateways * arguments.components)
        self.start_fleet()
        self.phase("Connecting and reporting", lambda: wait_for(
            lambda: self.suite.processes["fleet"].check() or self.count("manifests") >= there * 0.97, "the manifests",
            arguments.patience) and self.count("manifests"), "manifests")
        wait_for(lambda: self.count("streams_open") >= there * 0.95, "the streams", arguments.patience)
        streams = self.count("streams_open")
        fleet, rollout = resident_mib(self.processes["fleet"]), resident_mib(self.processes["rollout"])
        print(f"\n{streams} open streams: fleet {1024 * fleet / there:.0f} KiB a gateway, rollout service "
              f"{1024 * (rollout - empty) / streams:.0f} KiB a stream")
        self.phase(f"Steady state, {arguments.steady} s", self.steady, "check-ins")
        self.phase("A rollout to all", self.roll_out, "updates")
        print("\n" + self.suite.run(program, "stats", self.stats_file))
        print(f"the fleet ends with status {self.suite.processes['fleet'].stop()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=200)
    parser.add_argument("--components", type=int, default=5)
    parser.add_argument("--ramp", type=int, default=100, help="gateways that start in a second")
    parser.add_argument("--check-in", type=int, default=60, help="seconds between check-ins")
    parser.add_argument("--steady", type=int, default=60, help="seconds of steady state")
    parser.add_argument("--threads", type=int, default=32, help="calls of the fleet at once")
    parser.add_argument("--patience", type=int, default=1800, help="seconds for each phase")
    parser.add_argument("--shares", default="--slow=0.5% --failing=1% --lying=0.4% --silent=0.1% --declining=0.5%")
    parser.add_argument("--run-flags", default="", help="further flags of `fleet run`")
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "bazel-bin")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-", dir="/tmp"))
    load = Load(arguments, folder)
    try:
        load.run()
    finally:
        load.suite.stop()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
