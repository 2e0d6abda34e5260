"""The public API keeps buf's rules, and never breaks a client of the API as it was released."""

import os
import pathlib
import re
import shutil
import subprocess

PROTO = pathlib.Path("proto").resolve()
# The API as it was last released; proto/README.md says when it is renewed.
BASELINE = PROTO / "baseline.binpb"


def buf(*arguments, folder: pathlib.Path = PROTO) -> subprocess.CompletedProcess:
    modules = os.environ.get("COUNTERSIGN_NPM")
    assert modules, "run this through tools/test, which installs buf"
    return subprocess.run(
        [f"{modules}/node_modules/.bin/buf", *map(str, arguments)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["TEST_TMPDIR"]},
        capture_output=True,
        text=True,
    )


def test_lint_finds_nothing():
    result = buf("lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_client_of_the_released_api_breaks():
    result = buf("breaking", "--against", BASELINE)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_field_that_is_taken_away_is_found(tmp_path):
    # The sandbox has links to read-only files; the copy has files.
    copy = tmp_path / "proto"
    shutil.copytree(PROTO, copy)
    changed = copy / "countersign/rollout/v1/rollout.proto"
    text, count = re.subn(r"\n  string display_name = \d+;", "", changed.read_text(encoding="utf-8"), count=1)
    assert count == 1
    changed.unlink()
    changed.write_text(text, encoding="utf-8")
    result = buf("breaking", "--against", BASELINE, folder=copy)
    assert result.returncode != 0
    assert 'display_name' in result.stdout, result.stdout + result.stderr
