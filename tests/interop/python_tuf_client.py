"""python-tuf's client as released, run by the Python of its own environment: prints what came of it as JSON."""

import argparse
import json
import pathlib

from tuf.ngclient import Updater

parser = argparse.ArgumentParser()
for flag in ("state", "root", "metadata", "targets", "out"):
    parser.add_argument(f"--{flag}", required=True)
parser.add_argument("target", nargs="*")
flags = parser.parse_args()


def run() -> dict:
    result = {"files": {}}
    try:
        updater = Updater(flags.state, flags.metadata, flags.out, flags.targets,
                          bootstrap=pathlib.Path(flags.root).read_bytes())
        updater.refresh()
        for target in flags.target:
            info = updater.get_targetinfo(target)
            result["files"][target] = updater.download_target(info) if info else None
    except Exception as error:  # pylint: disable=broad-except
        result["error"] = type(error).__name__
        result["message"] = str(error)
    return result


print(json.dumps(run()))
