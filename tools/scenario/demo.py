"""tools/demo: the whole path once, in a scratch folder, for a newcomer to watch."""

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile
import time

import monitoring
from story import AUTHORITY, DRIVER, GATEWAYS, OPERATOR, RESIDENT, Story, print_table
from suite import SERVICES, ReservedPort, Suite


class Narrator:
    """Says sentences with the time since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def chapter(self, title: str) -> None:
        print(f"\n{title}", flush=True)

    def say(self, sentence: str) -> None:
        print(f"  [{time.monotonic() - self._start:5.1f} s] {sentence}", flush=True)


def tell(story: Story, narrator: Narrator, set_up_done=lambda: None) -> None:
    narrator.chapter("The operator sets up")
    story.set_up()
    set_up_done()
    narrator.chapter("1. Two manufacturers publish, the authority approves")
    story.publish()
    narrator.chapter("2. A home and a vehicle report what they run")
    story.report()
    narrator.chapter("3. A rollout, with the users' consent")
    rollout = story.launch()
    story.consent_in_vehicle()
    story.complete(rollout)
    narrator.chapter("4. What must not happen")
    story.try_wrong_signature()
    story.try_altered_image()
    story.try_unapproved()
    story.try_without_consent()
    story.try_revoked()
    story.try_other_home()
    story.try_other_hardware()
    narrator.chapter("5. Every device, before and after\n")
    print_table(story.table(rollout))


# Who signs in at which gateway's page.
PRINCIPALS = {"home-1": RESIDENT, "car-1": DRIVER}
PIN = "271828"


def keep(suite: Suite, narrator: Narrator, prometheus: str, displays: dict) -> None:
    """Prints how to reach everything, and waits for Ctrl-C."""
    narrator.chapter("Everything keeps running. Ctrl-C ends it and removes its folder.\n")
    rows = [("SERVICE", "GRPC", "METRICS AND HEALTH")]
    rows += [(name, suite.address(name), f"http://{suite.http_address(name)}/metrics") for name in SERVICES]
    rows.append(("prometheus", "", f"http://{prometheus}/"))
    print_table(rows)
    print()
    print_table([("DISPLAY", "PAGE", "NAME", "PIN"),
                 *((name, f"http://{port.address}/", PRINCIPALS[name], PIN) for name, port in displays.items())])
    # Names that can be typed, in the folder that has everything.
    programs = suite.folder / "bin"
    programs.mkdir()
    for name, label in (("countersign", "tools/ctl/countersign"), ("gateway", "tools/gateway/gateway")):
        (programs / name).symlink_to(suite.binary(label))
    config = {identity: suite.config(identity).name for identity in (OPERATOR, AUTHORITY)}
    print(f"\nIn another terminal:\n  cd {suite.folder}")
    print_table([
        ("  " + command, "# " + who) for command, who in (
            (f"bin/countersign --config {config[OPERATOR]} rollout list", "as the operator"),
            (f"bin/countersign --config {config[AUTHORITY]} proposal list", "as the Management Authority"),
            (f"bin/gateway --config {next(iter(GATEWAYS))}-agent.toml prompts", "as the home's user"),
        )
    ])
    print(f"The logs are in {suite.logs}.\n", flush=True)
    while True:
        time.sleep(1)
        for process in suite.processes.values():
            process.check()


def interrupt(*_) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/demo", description="The whole path once: six services patch a home and a vehicle.")
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="leave it running, with a Prometheus that scrapes it")
    arguments = parser.parse_args()

    # Short, because a Unix socket's path has to be.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-", dir="/tmp"))
    narrator = Narrator()
    suite = Suite(arguments.binaries, folder)
    # Who closes the terminal, or started this in the background of a script, leaves nothing behind either.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, interrupt)
    prometheus = ""

    def watch() -> None:
        nonlocal prometheus
        if arguments.keep:
            prometheus = monitoring.start_prometheus(suite)

    # Stopped before the end of the story, not all of it was seen to hold.
    status = 130
    try:
        story = Story(suite, narrator.say)
        displays = {name: ReservedPort() for name in GATEWAYS}
        story.agent_flags = {name: [f"--web={port.address}"] for name, port in displays.items()}
        # Watched from the start, so that the graphs show the story.
        tell(story, narrator, watch)
        print(f"\nAll of it held: every update was signed, approved, consented and launched, and {len(story.refused)} "
              "attempts to do otherwise were refused.")
        status = 0
        if arguments.keep:
            for name, principal in PRINCIPALS.items():
                suite.run(*story.gateway_command(name), "user", "add", principal, given=PIN + "\n")
            keep(suite, narrator, prometheus, displays)
    except KeyboardInterrupt:
        print("\nStopped: ending all processes.", flush=True)
    except Exception as error:  # pylint: disable=broad-except
        status = 1
        logs = pathlib.Path(tempfile.mkdtemp(prefix="countersign-logs-", dir="/tmp"))
        shutil.copytree(suite.logs, logs, dirs_exist_ok=True)
        print(f"\nThe demo failed: {error}\nThe logs of all processes are in {logs}", file=sys.stderr)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        suite.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
