"""That the benchmark of the App-ID registry works. How fast things are is no test."""

import re
import subprocess


def test_each_figure_stands_next_to_a_limit_that_was_measured():
    done = subprocess.run(["tests/load/app_id", "--quick"], stdout=subprocess.PIPE, check=True)
    header, *lines = done.stdout.decode().splitlines()
    assert header.split() == ["PATH", "OURS", "LIMIT", "RATIO", "GOAL"]
    rows = [re.split(r"  +", line) for line in lines]
    assert [row[0] for row in rows] == ["VerifyIdentity", "VerifyIdentity, server CPU", "VerifyIdentity, database CPU"]
    for _, ours, _, theirs, ratio, *_ in rows:
        assert re.match(r"[\d.]+ \S+$", ours) and re.match(r"[\d.]+ \S+$", theirs)
        assert float(ratio) >= 0 and float(theirs.split()[0]) > 0
