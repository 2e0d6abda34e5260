"""tools/demo: the whole path once, in a scratch folder, for a newcomer to watch."""

import argparse
import pathlib
import shutil
import sys
import tempfile
import time

import monitoring
from story import GATEWAYS, OPERATOR, Story, print_table
from suite import SERVICES, Suite


class Narrator:
    """Says sentences with the time since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def chapter(self, title: str) -> None:
        print(f"\n{title}", flush=True)

    def say(self, sentence: str) -> None:
        print(f"  [{time.monotonic() - self._start:5.1f} s] {sentence}", flush=True)


def tell(story: Story, narrator: Narrator) -> None:
    narrator.chapter("The operator sets up")
    story.set_up()
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
    story.try_other_home()
    story.try_other_hardware()
    narrator.chapter("5. Every device, before and after\n")
    print_table(story.table(rollout))


def keep(suite: Suite, narrator: Narrator) -> None:
    """Prints how to reach everything, and waits for Ctrl-C."""
    prometheus = monitoring.start_prometheus(suite)
    narrator.chapter("Everything keeps running. Ctrl-C ends it.\n")
    rows = [("SERVICE", "GRPC", "METRICS AND HEALTH")]
    rows += [(name, suite.address(name), f"http://{suite.http_address(name)}/metrics") for name in SERVICES]
    rows.append(("prometheus", "", f"http://{prometheus}/"))
    print_table(rows)
    ctl = suite.binary("tools/ctl/countersign")
    print(f"\nAs the operator:   {ctl} --config {suite.config(OPERATOR)} rollout list")
    print(f"As the authority:  {ctl} --config {suite.config('authority/ma')} proposal list")
    print(f"As a gateway:      {suite.binary('tools/gateway/gateway')} "
          f"--config {suite.folder / (next(iter(GATEWAYS)) + '-agent.toml')} prompts")
    print(f"Logs:              {suite.logs}\n", flush=True)
    while True:
        time.sleep(1)
        for process in suite.processes.values():
            process.check()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/demo", description="The whole path once: six services patch a home and a vehicle.")
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="leave it running, with a Prometheus that scrapes it")
    arguments = parser.parse_args()

    # Short, because a Unix socket's path has to be.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-", dir="/tmp"))
    narrator = Narrator()
    suite = Suite(arguments.binaries, folder)
    try:
        story = Story(suite, narrator.say)
        tell(story, narrator)
        print(f"\nAll of it held: every update was signed, approved, consented and launched, and {len(story.refused)} "
              "attempts to do otherwise were refused.")
        if arguments.keep:
            keep(suite, narrator)
    except KeyboardInterrupt:
        print("\nstopped")
    except Exception as error:  # pylint: disable=broad-except
        logs = pathlib.Path(tempfile.mkdtemp(prefix="countersign-logs-", dir="/tmp"))
        shutil.copytree(suite.logs, logs, dirs_exist_ok=True)
        print(f"\nThe demo failed: {error}\nThe logs of all processes are in {logs}", file=sys.stderr)
        return 1
    finally:
        suite.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
