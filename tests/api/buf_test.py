"""The public API keeps buf's rules, and never breaks a client of the API as it was released."""

import os
import pathlib
import subprocess

PROTO = pathlib.Path("proto")


def buf(*arguments: str) -> subprocess.CompletedProcess:
    modules = os.environ.get("COUNTERSIGN_NPM")
    assert modules, "run this through tools/test, which installs buf"
    return subprocess.run(
        [f"{modules}/node_modules/.bin/buf", *arguments],
        cwd=PROTO.resolve(),
        env={"PATH": os.environ["PATH"], "HOME": os.environ["TEST_TMPDIR"]},
        capture_output=True,
        text=True,
    )


def test_lint_finds_nothing():
    result = buf("lint")
    assert result.returncode == 0, result.stdout + result.stderr
